"""Which schemas and streams the product has, and how to bring them up to date."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg
from nats.errors import Error as NatsError

import services
from deploy.local.errors import StackError
from shared.kernel.errors import SpotError
from shared.runtime import streams
from shared.runtime.migrations import Schema, migrate

SERVICES = ("gateway", "pricing", "optimizer", "executor", "reporting")

CONNECT_SECONDS = 10

KEEPS_CLUSTERS = frozenset({"optimizer", "executor", "reporting"})
"""Services with a copy of what agents publish."""


def schema_of(service: str, *, password: str | None = None) -> Schema:
    """Give a service's schema."""
    folder = Path(services.__path__[0]) / service / "sql" / "migrations"
    shared = ("messaging", "cluster") if service in KEEPS_CLUSTERS else ("messaging",)
    return Schema(name=service, folder=folder, shared=shared, password=password)


async def migrate_database(admin_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Migrate every service's schema; return what was applied.

    Raises:
        StackError: the server does not answer, or refuses; the message never holds the password.
    """
    where = _without_password(admin_url)
    applied: list[str] = []
    try:
        connection = await asyncpg.connect(admin_url, timeout=CONNECT_SECONDS)
        try:
            database = await connection.fetchval("select current_database()")
            for service in SERVICES:
                done = await migrate(connection, schema_of(service, password=passwords.get(service)))
                await connection.execute(f'grant connect on database "{database}" to "{service}"')
                applied += [f"{service}: {name}" for name in done]
        finally:
            await connection.close()
    except SpotError as error:
        raise StackError(f"{error}.") from error
    except OSError as error:
        raise StackError(f"Postgres at {where} does not answer: {reason(error)}.") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StackError(f"Postgres at {where} refuses: {reason(error)}.") from error
    return applied


async def migrate_bus(url: str, *, user: str, password: str) -> list[str]:
    """Create or update every stream, consumer and bucket; return what was created.

    Raises:
        StackError: the server does not answer, or refuses.
    """
    try:
        client = await streams.connect(url, user=user, password=password, name="spotopt-migrate")
        try:
            return await streams.ensure(client.jetstream())
        finally:
            await client.close()
    except (OSError, NatsError, ValueError) as error:
        raise StackError(
            f"nats-server at {_without_password(url)} does not answer or refuses user {user}: {reason(error)}."
        ) from error


def reason(error: BaseException) -> str:
    """Say in one line what an error is; some have no words of their own."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _without_password(url: str) -> str:
    return url.rsplit("@", 1)[-1].split("://")[-1]
