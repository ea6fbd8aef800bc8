"""Schemas and roles: each service owns one schema, with a role that migrates and a role that runs.

Files are `xx.yy.zz_NN_{pre|post}_what.sql`, applied in order, each once, in a transaction; a file that was changed
after it was applied is refused, since nobody could say what such a database looks like.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from shared.kernel.errors import PermanentError

SHARED_SQL = Path(__file__).with_name("sql")


class MigrationChangedError(PermanentError):
    """A migration was edited after it had been applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What to migrate."""

    name: str
    """Of the service, its schema and its running role; the owner is `<name>_owner`."""
    folder: Path
    """Its migrations."""
    shared: tuple[str, ...] = ("messaging",)
    """Tables from shared/runtime/sql that it has too, made before its own."""
    password: str | None = None
    """Of the running role; None leaves it as it is."""


def migration_files(schema: Schema) -> Sequence[tuple[str, Path]]:
    """Give (name, path) of everything to apply, in order."""
    common = [(f"shared/{name}", SHARED_SQL / f"{name}.sql") for name in schema.shared]
    return [*common, *((path.name, path) for path in sorted(schema.folder.glob("*.sql")))]


async def migrate(connection: "asyncpg.Connection[Any]", schema: Schema) -> list[str]:
    """Bring one schema up to date with an administrator's connection; return what was applied.

    Raises:
        MigrationChangedError: a file differs from what was applied.
    """
    name, owner = schema.name, f"{schema.name}_owner"
    applied: list[str] = []
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext('spot-optimizer-migrations'))")
        for role, options in ((owner, "nologin"), (name, "login")):
            if not await connection.fetchval("select 1 from pg_roles where rolname = $1", role):
                await connection.execute(f'create role "{role}" {options} nosuperuser nobypassrls')
        if schema.password is not None:
            quoted = await connection.fetchval("select quote_literal($1::text)", schema.password)
            await connection.execute(f'alter role "{name}" password {quoted}')
        await connection.execute(f'grant "{owner}" to current_user')
        await connection.execute(f'create schema if not exists "{name}" authorization "{owner}"')
        await connection.execute(f'grant usage on schema "{name}" to "{name}"')
        await connection.execute(f'set local role "{owner}"')
        await connection.execute(f'set local search_path to "{name}"')
        await connection.execute(
            "create table if not exists schema_migrations ("
            " name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        done = {r["name"]: r["sha256"] for r in await connection.fetch("select * from schema_migrations")}
        for file, path in migration_files(schema):
            text = path.read_text()
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            if file in done:
                if done[file] != sha256:
                    raise MigrationChangedError(
                        f"{name}: {file} was changed after it had been applied; write a new migration instead"
                    )
                continue
            await connection.execute(text)
            await connection.execute(
                "insert into schema_migrations (name, sha256) values ($1, $2)", file, sha256
            )
            applied.append(file)
        await connection.execute(
            f'grant select, insert, update, delete on all tables in schema "{name}" to "{name}"'
        )
        await connection.execute(f'grant usage on all sequences in schema "{name}" to "{name}"')
        await connection.execute(f'revoke insert, update, delete on schema_migrations from "{name}"')
    return applied


async def missing(connection: "asyncpg.Connection[Any]", schema: Schema) -> list[str]:
    """Name what has not been applied yet, as the running role sees it."""
    table = await connection.fetchval("select to_regclass($1)", f'"{schema.name}".schema_migrations')
    done: set[str] = set()
    if table is not None:
        done = {
            r["name"] for r in await connection.fetch(f'select name from "{schema.name}".schema_migrations')
        }
    return [file for file, _ in migration_files(schema) if file not in done]
