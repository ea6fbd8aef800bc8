"""`spotopt serve` and `spotopt migrate`: for operators who run the parts one by one."""

import asyncio
import os
import runpy
from enum import StrEnum
from typing import Annotated

import typer

from deploy.cli.output import fail


class Service(StrEnum):
    """What can be served."""

    GATEWAY = "gateway"
    PRICING = "pricing"
    OPTIMIZER = "optimizer"
    EXECUTOR = "executor"
    REPORTING = "reporting"
    AGENT = "agent"


def serve(service: Annotated[Service, typer.Argument(help="Which one.")]) -> None:
    """Run one service (or the agent) in the foreground, set up by its <SERVICE>_* environment variables.

    Exit codes: 0 it was stopped; 1 it cannot run; 2 a variable is wrong.

    Example:
      PRICING_DATABASE_URL=… PRICING_NATS_URL=… spotopt serve pricing
    """
    module = "agent" if service is Service.AGENT else f"services.{service.value}"
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def migrate(
    database_url: Annotated[
        str,
        typer.Option(
            help="Postgres, as an administrator.", envvar="SPOTOPT_DATABASE_URL", show_default=False
        ),
    ],
    nats_url: Annotated[
        str, typer.Option(help="nats-server.", envvar="SPOTOPT_NATS_URL", show_default=False)
    ],
    nats_user: Annotated[
        str, typer.Option(help="A user that may do everything.", envvar="SPOTOPT_NATS_USER")
    ] = "admin",
) -> None:
    """Bring schemas, roles, streams and consumers up to date. The only thing that may; safe to run again.

    The passwords of the services' roles are taken from SPOTOPT_<SERVICE>_PASSWORD and left alone without it;
    the bus user's from SPOTOPT_NATS_PASSWORD.

    Exit codes: 0 up to date; 1 a server does not answer or refuses; 2 a wrong option.

    Example:
      SPOTOPT_PRICING_PASSWORD=… spotopt migrate --database-url postgresql://… --nats-url nats://…
    """
    from deploy.local import schemas
    from deploy.local.errors import StackError

    passwords = {
        name: os.environ[f"SPOTOPT_{name.upper()}_PASSWORD"]
        for name in schemas.SERVICES
        if f"SPOTOPT_{name.upper()}_PASSWORD" in os.environ
    }

    async def work() -> list[str]:
        applied = await schemas.migrate_database(database_url, passwords)
        made = await schemas.migrate_bus(
            nats_url, user=nats_user, password=os.environ.get("SPOTOPT_NATS_PASSWORD", "")
        )
        return [*applied, *made]

    try:
        done = asyncio.run(work())
    except StackError as error:
        fail(str(error), code=error.exit_code)
    for line in done:
        typer.echo(line)
    typer.echo("Everything is up to date." if not done else f"{len(done)} changes made.")
