"""Which schemas and streams the product has, and how to bring them up to date."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg

import services
from shared.runtime import streams
from shared.runtime.migrations import Schema, migrate

SERVICES = ("gateway", "pricing", "optimizer", "executor", "reporting")

KEEPS_CLUSTERS = frozenset({"optimizer", "executor", "reporting"})
"""Services with a copy of what agents publish."""


def schema_of(service: str, *, password: str | None = None) -> Schema:
    """Give a service's schema."""
    folder = Path(services.__path__[0]) / service / "sql" / "migrations"
    shared = ("messaging", "cluster") if service in KEEPS_CLUSTERS else ("messaging",)
    return Schema(name=service, folder=folder, shared=shared, password=password)


async def migrate_database(admin_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Migrate every service's schema; return what was applied."""
    connection = await asyncpg.connect(admin_url)
    applied: list[str] = []
    try:
        database = await connection.fetchval("select current_database()")
        for service in SERVICES:
            done = await migrate(connection, schema_of(service, password=passwords.get(service)))
            await connection.execute(f'grant connect on database "{database}" to "{service}"')
            applied += [f"{service}: {name}" for name in done]
    finally:
        await connection.close()
    return applied


async def migrate_bus(url: str, *, user: str, password: str) -> list[str]:
    """Create or update every stream, consumer and bucket; return what was created."""
    client = await streams.connect(url, user=user, password=password, name="spotopt-migrate")
    try:
        return await streams.ensure(client.jetstream())
    finally:
        await client.close()
