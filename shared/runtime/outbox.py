"""The relay: what transactions left in the outbox goes to JetStream, in order, at least once.

Publishing is acknowledged before a row is deleted; a crash between the two publishes again with the same
Nats-Msg-Id, which JetStream drops within its window and every inbox drops for ever.
"""

import asyncio
import contextlib

import structlog

from shared.runtime import payloads
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database

log = structlog.get_logger(__name__)

BATCH = 200
LOOK_AGAIN_SECONDS = 0.5
"""How soon a row is found that another process, or one that died, left behind."""

INBOX_KEPT_DAYS = 14


async def relay_once(database: Database, bus: Bus) -> int:
    """Publish one batch; return how many were sent. One relay of a service works at a time, so order is kept."""
    async with database.transaction() as transaction:
        if not await transaction.connection.fetchval(
            "select pg_try_advisory_xact_lock(hashtext($1))", f"outbox:{database.schema}"
        ):
            return 0
        rows = await transaction.connection.fetch(
            "select position, message_id, subject, body from outbox order by position limit $1", BATCH
        )
        for row in rows:
            body, headers = await payloads.pack(row["body"], name=str(row["message_id"]), js=bus.js)
            await bus.js.publish(
                row["subject"], body, headers={**headers, "Nats-Msg-Id": str(row["message_id"])}
            )
        if rows:
            await transaction.connection.execute(
                "delete from outbox where position = any($1::bigint[])", [row["position"] for row in rows]
            )
    return len(rows)


async def relay(database: Database, bus: Bus) -> None:
    """Relay for ever; a server that is away is waited for."""
    while True:
        database.outbox_filled.clear()
        try:
            if await relay_once(database, bus) == BATCH:
                continue
        except Exception as error:
            log.warning("relay_waits", error=repr(error))
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(database.outbox_filled.wait(), LOOK_AGAIN_SECONDS)


async def forget_old(database: Database) -> int:
    """Delete inbox rows of messages that no stream holds any more; return how many."""
    async with database.transaction() as transaction:
        answer = await transaction.connection.execute(
            "delete from inbox where received_at < now() - make_interval(days => $1)", INBOX_KEPT_DAYS
        )
    return int(answer.rsplit(" ", 1)[1])
