"""AWS's offer file over HTTP: as old as it is, whole or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from services.pricing.adapters import bulk_price_file
from services.pricing.adapters.bulk_price_file import BulkPriceFile
from services.pricing.domain.price_list import Origin
from services.pricing.errors import PriceFileError, SourceUnavailableError
from services.pricing.settings import PricingSettings
from tests.unit.pricing.adapters import offer_files
from tests.unit.pricing.adapters.offer_files import REGION


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Starts a server that answers /us-east-1/index.csv with a body and a status; gives its address."""
    runners: list[web.AppRunner] = []

    async def start(body: bytes, status: int = 200) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status)

        app = web.Application()
        app.router.add_get(f"/{REGION}/index.csv", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}/{{region}}/index.csv"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def offers(tmp_path: Path) -> bytes:
    offer_files.write_csv(tmp_path / "offers", types=3)
    return (tmp_path / "offers").read_bytes()


async def test_a_mirrors_file_is_as_old_as_it_says(
    serve: Callable[..., Awaitable[str]], offers: bytes
) -> None:
    found = await BulkPriceFile(await serve(offers)).on_demand_prices(REGION)
    assert found.usd_per_hour == {f"m{n}.large": Decimal(offer_files.price(n)) for n in range(3)}
    assert (found.origin, found.published_at) == (
        Origin.BULK_FILE,
        datetime.fromisoformat(offer_files.PUBLISHED),
    )


async def test_no_answer_and_an_endless_one_are_an_absent_source(
    serve: Callable[..., Awaitable[str]], offers: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceUnavailableError, match="404"):
        await BulkPriceFile(await serve(offers, 404)).on_demand_prices(REGION)
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:1"):
        await BulkPriceFile("http://127.0.0.1:1/{region}").on_demand_prices(REGION)
    monkeypatch.setattr(bulk_price_file, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(SourceUnavailableError, match="does not end"):
        await BulkPriceFile(await serve(offers)).on_demand_prices(REGION)


async def test_something_else_than_an_offer_file_is_refused(serve: Callable[..., Awaitable[str]]) -> None:
    with pytest.raises(PriceFileError, match="no column"):
        await BulkPriceFile(await serve(b"<html>")).on_demand_prices(REGION)


async def test_a_mirrors_file_of_an_unknown_age_is_refused(
    serve: Callable[..., Awaitable[str]], offers: bytes
) -> None:
    undated = offers.replace(b"Publication Date", b"Whatever")
    assert undated != offers
    with pytest.raises(PriceFileError, match="without a publication date"):
        await BulkPriceFile(await serve(undated)).on_demand_prices(REGION)


def test_only_awss_own_file_is_the_one_in_force() -> None:
    shipped = PricingSettings.model_fields["price_list_bulk_url"].default
    assert bulk_price_file.is_awss_own(shipped.format(region=REGION))
    assert bulk_price_file.is_awss_own("https://pricing.cn-northwest-1.amazonaws.com.cn/{region}")
    for url in (
        "https://mirror.example/{region}",
        "https://amazonaws.com.example/{region}",
        "https://prices.s3.us-east-1.amazonaws.com/{region}.csv",
        "https://pricing.s3.amazonaws.com/{region}.csv",
        "https://pricing.s3-us-west-2.amazonaws.com/{region}.csv",
        "file:///x",
        "",
    ):
        assert not bulk_price_file.is_awss_own(url), url
