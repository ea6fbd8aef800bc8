"""`spotopt prices`: on-demand prices for networks in which AWS's Price List cannot be asked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.bus import Url, administrator
from deploy.cli.output import Form, described, fail, show, table

if TYPE_CHECKING:
    from nats.aio.client import Client

    from services.pricing.domain.price_list import OnDemandPrices
    from shared.contracts.v1.pricing import OnDemandPricesUploaded, UploadOnDemandPrices

app = typer.Typer(help="On-demand prices from a file.", no_args_is_help=True, rich_markup_mode="rich")

BAD_FILE = 2
ANSWER_SECONDS = 60.0
MOST_REFUSED_SENT = 500


def upload(
    file: Annotated[Path, typer.Argument(help="AWS's offer file of AmazonEC2 (JSON or CSV, also gzipped).")],
    region: Annotated[str, typer.Option(help="The region whose prices these are.")],
    published_at: Annotated[
        str | None, typer.Option(help="When AWS made it (ISO 8601), where the file does not say.")
    ] = None,
    nats_url: Url = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
) -> None:
    """Use on-demand prices of a file, where neither the Price List API nor AWS's file can be reached.

    The file is `offers/v1.0/aws/AmazonEC2/current/REGION/index.json` (or `index.csv`) below AWS's price list
    address, or what `aws pricing get-products --service-code AmazonEC2` printed. It is read here as a stream; every
    row is judged, and judged again by the pricing service. Prices are as old as the file: quotes say so.

    Examples:
      spotopt prices upload index.csv --region us-east-1

      spotopt prices upload products.json --region eu-west-1 --published-at 2026-11-01T00:00:00Z

    Exit codes: 0 used; 1 the bus or the service does not answer; 2 the file, its date or its region will not do.
    """
    from services.pricing.adapters.price_file import read_price_file
    from services.pricing.domain.price_list import Origin
    from services.pricing.errors import PriceFileError

    try:
        found = read_price_file(file, region=region, origin=Origin.UPLOAD)
    except PriceFileError as error:
        fail(f"{error}.", code=BAD_FILE)
    request = _request(found, region=region, published_at=published_at)
    done = administrator(nats_url, lambda client: _ask(client, request))
    if output is not Form.TABLE:
        show(done.model_dump(mode="json"), output)
        return
    table(
        ("region", "as of", "types priced", "offerings changed", "rows refused"),
        [[done.region, f"{done.as_of:%Y-%m-%d %H:%M} UTC", done.types, done.changed, done.refused]],
    )
    for row in found.refused[:5]:
        typer.echo(f"refused ({row.reason.value}): {row.row}", err=True)


app.command("upload", help=described(upload))(upload)


def _request(found: "OnDemandPrices", *, region: str, published_at: str | None) -> "UploadOnDemandPrices":
    from datetime import UTC, datetime

    from shared.contracts.v1.pricing import RefusedPrice, UploadedPrice, UploadOnDemandPrices
    from shared.runtime.clock import SystemClock
    from shared.runtime.ids import UuidSeven

    at = found.published_at
    if published_at is not None:
        try:
            at = datetime.fromisoformat(published_at)
        except ValueError:
            fail(f"--published-at {published_at} is no date.", code=BAD_FILE)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if at is None:
        fail("the file does not say when AWS made it; give --published-at.", code=BAD_FILE)
    return UploadOnDemandPrices.make(
        scope=region,
        clock=SystemClock(),
        ids=UuidSeven(),
        prices=tuple(
            UploadedPrice(instance_type=name, usd_per_hour=usd)
            for name, usd in sorted(found.usd_per_hour.items())
        ),
        published_at=at,
        refused=tuple(
            RefusedPrice(reason=row.reason.value, row=row.row) for row in found.refused[:MOST_REFUSED_SENT]
        ),
    )


async def _ask(client: "Client", request: "UploadOnDemandPrices") -> "OnDemandPricesUploaded":
    from nats.errors import NoRespondersError

    from shared.contracts.subjects import subject_of
    from shared.contracts.v1.pricing import OnDemandPricesUploaded
    from shared.runtime.messaging import ERROR_HEADER

    subject = subject_of(request).for_scope(request.scope)
    try:
        raw = await client.request(subject, request.model_dump_json().encode(), timeout=ANSWER_SECONDS)
    except (TimeoutError, NoRespondersError):
        fail("the pricing service does not answer; is it running?")
    if raw.headers and ERROR_HEADER in raw.headers:
        problem = json.loads(raw.data)
        fail(
            f"the pricing service refuses: {problem['message']}.",
            code=BAD_FILE if problem["permanent"] else 1,
        )
    return OnDemandPricesUploaded.model_validate_json(raw.data)
