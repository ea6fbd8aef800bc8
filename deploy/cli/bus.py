"""`spotopt dlq`: messages that a consumer gave up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deploy.cli.output import Form, described, fail, show, table

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

T = TypeVar("T")

app = typer.Typer(
    help="Dead letters: list, replay or drop them.", no_args_is_help=True, rich_markup_mode="rich"
)

Url = Annotated[str | None, typer.Option("--nats-url", help="A bus elsewhere.", envvar="SPOTOPT_NATS_URL")]
Sequences = Annotated[list[int], typer.Argument(help="Numbers, as `spotopt dlq list` shows them.")]


def list_(
    nats_url: Url = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
) -> None:
    """List dead letters, oldest first.

    Examples:
      spotopt dlq list

      spotopt dlq list -o json | jq '.[].error'

    Exit codes: 0 listed; 1 the bus does not answer or refuses.
    """

    async def work(js: "JetStreamContext") -> list[dict[str, Any]]:
        from shared.runtime import dead_letters

        return [
            {
                "number": letter.sequence,
                "subject": letter.subject,
                "consumer": letter.consumer,
                "attempts": letter.attempts,
                "error": letter.error,
                "body": letter.body.decode(errors="replace"),
            }
            async for letter in dead_letters.listed(js)
        ]

    letters = _with_bus(nats_url, work)
    if output is not Form.TABLE:
        show(letters, output)
    elif letters:
        keys = ("number", "subject", "consumer", "attempts", "error")
        table(keys, [[letter[key] for key in keys] for letter in letters])
    else:
        typer.echo("There are no dead letters.")


def replay(numbers: Sequences, nats_url: Url = None) -> None:
    """Send dead letters to where they came from, once more.

    Consumers that handled it before the one that gave up see it in their inbox and do nothing.

    Example:
      spotopt dlq replay 17 18

    Exit codes: 0 done; 1 the bus does not answer or refuses; 2 there is no such letter.
    """
    from shared.runtime import dead_letters

    _with_bus(nats_url, lambda js: _each(js, numbers, lambda letter: dead_letters.replay(js, letter)))
    typer.echo(f"Replayed {len(numbers)}.")


def drop(
    numbers: Sequences,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    nats_url: Url = None,
) -> None:
    """Forget dead letters for good.

    Example:
      spotopt dlq drop 17 --yes

    Exit codes: 0 done; 1 not confirmed, or the bus does not answer or refuses; 2 there is no such letter.
    """
    from shared.runtime import dead_letters

    if not yes:
        typer.confirm(
            f"Forget {'this dead letter' if len(numbers) == 1 else f'these {len(numbers)} dead letters'} for good?",
            abort=True,
        )
    _with_bus(nats_url, lambda js: _each(js, numbers, lambda letter: dead_letters.drop(js, letter.sequence)))
    typer.echo(f"Dropped {len(numbers)}.")


for name, command in (("list", list_), ("replay", replay), ("drop", drop)):
    app.command(name, help=described(command))(command)


async def _each(js: "JetStreamContext", numbers: list[int], do: Callable[[Any], Awaitable[None]]) -> None:
    from shared.runtime import dead_letters

    letters = []
    for number in dict.fromkeys(numbers):
        letter = await dead_letters.get(js, number)
        if letter is None:
            fail(f"there is no dead letter {number}; see `spotopt dlq list`. Nothing was done.", code=2)
        letters.append(letter)
    for letter in letters:
        await do(letter)


def _with_bus(nats_url: str | None, work: Callable[["JetStreamContext"], Awaitable[Any]]) -> Any:
    return administrator(nats_url, lambda client: work(client.jetstream()))


def administrator(nats_url: str | None, work: Callable[["Client"], Awaitable[T]]) -> T:
    """Connect as administrator, work, disconnect; a bus that is away is one sentence."""
    import os

    from nats.errors import Error as NatsError
    from nats.js.errors import NotFoundError

    from deploy.local import nats_server
    from deploy.local.home import Home, default_home
    from deploy.local.schemas import reason
    from shared.runtime import streams

    home = Home(default_home())
    own_url = (home.state() or {}).get("nats_url")
    url = nats_url or own_url
    if url is None:
        fail("no stack runs here; start it with `spotopt up`, or give --nats-url.")
    password = os.environ.get("SPOTOPT_NATS_PASSWORD", "")
    if not password and url == own_url:
        password = home.secrets().bus[nats_server.ADMIN]

    async def run() -> T:
        client = await streams.connect(url, user=nats_server.ADMIN, password=password, name="spotopt-cli")
        try:
            return await work(client)
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except NotFoundError:
        fail(f"nats-server at {url} has no dead letters' stream; run `spotopt migrate` first.")
    except (OSError, NatsError, ValueError) as error:
        fail(f"nats-server at {url} does not answer or refuses: {reason(error)}.")
