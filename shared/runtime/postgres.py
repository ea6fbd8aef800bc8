"""A pool bound to one service's schema, and transactions that carry their messages.

The role in the URL sees its own schema only; the search path is set to it so that SQL needs no prefix.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg
import structlog

from shared.contracts.base import Message
from shared.contracts.subjects import subject_of
from shared.kernel.errors import PermanentError, UnavailableError

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]
else:  # asyncpg's classes are generic to type checkers only
    Connection = asyncpg.Connection

UNREACHABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
CONNECT_RETRY_SECONDS = 0.5

T = TypeVar("T")

REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class DatabaseUnavailableError(UnavailableError):
    """Postgres does not answer."""


class DatabaseRefusedError(PermanentError):
    """Postgres answers, but does not let this role in; run `spotopt migrate` first."""


async def _left_as_it_was(_connection: Connection) -> None:
    """Do nothing for a connection that is given back; asyncpg would reset its session, a query a transaction.

    Nothing here outlives its transaction: settings are local to one, and so are locks.
    """


@dataclass(slots=True)
class Transaction:
    """An open transaction; what is added to it is sent when it commits, and only then."""

    connection: Connection
    sends: int = field(default=0)
    _then: list[Callable[[], None]] = field(default_factory=list)

    def on_commit(self, then: Callable[[], None]) -> None:
        """Call this once the transaction has committed, and never if it does not: what counts, counts what happened.

        What it raises is logged: nothing can be taken back any more.
        """
        self._then.append(then)

    def committed(self) -> None:
        """Call what waited for it; one that fails neither keeps the others from it nor undoes what is stored."""
        for then in self._then:
            try:
                then()
            except Exception:
                log.exception("on_commit_failed")

    async def add(self, message: Message) -> None:
        """Put a message into the outbox.

        Raises:
            ValueError: the message has no stream, so nobody could receive it later.
        """
        await self.add_all([message])

    async def add_all(self, messages: Sequence[Message]) -> None:
        """Put messages into the outbox, to leave in this order.

        Raises:
            ValueError: one has no stream, so nobody could receive it later; none was put.
        """
        subjects = [subject_of(message) for message in messages]
        for message, subject in zip(messages, subjects, strict=True):
            if subject.stream is None:
                raise ValueError(f"{message.type} is not stored in a stream; send it with the bus")
        if not messages:
            return
        await self.connection.execute(
            """
            insert into outbox (message_id, subject, body)
            select message_id, subject, body
            from unnest($1::uuid[], $2::text[], $3::bytea[]) with ordinality as t (message_id, subject, body, at)
            order by at
            on conflict do nothing
            """,
            [message.id for message in messages],
            [subject.for_scope(m.scope) for m, subject in zip(messages, subjects, strict=True)],
            [message.model_dump_json().encode() for message in messages],
        )
        self.sends += len(messages)

    async def is_first(self, consumer: str, message: Message) -> bool:
        """Claim a message for a consumer; False when it was handled before."""
        answer = await self.connection.execute(
            "insert into inbox (consumer, message_id) values ($1, $2) on conflict do nothing",
            consumer,
            message.id,
        )
        return bool(answer.endswith(" 1"))


class Database:
    """The service's own schema."""

    def __init__(self, pool: "asyncpg.Pool[Any]", schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self.outbox_filled = asyncio.Event()
        """Set when a transaction with messages has committed: the relay need not wait for its next look."""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        schema: str,
        size: int = 8,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        attempts: int = 120,
    ) -> Self:
        """Connect, waiting for a server that is still starting.

        Raises:
            DatabaseUnavailableError: it never answered.
            DatabaseRefusedError: the role, its password or the database is not there.
        """
        for attempt in range(attempts):
            try:
                pool = await asyncpg.create_pool(
                    url,
                    min_size=1,
                    max_size=size,
                    command_timeout=60,
                    reset=_left_as_it_was,
                    server_settings={"search_path": schema, "application_name": f"spot-{schema}"},
                )
            except REFUSED as error:
                raise DatabaseRefusedError(f"Postgres refuses the role {schema}: {error}") from error
            except UNREACHABLE as error:
                if attempt == attempts - 1:
                    raise DatabaseUnavailableError(f"connecting to Postgres: {error}") from error
                if attempt == 0:
                    log.warning("database_awaited", error=str(error))
                await sleep(CONNECT_RETRY_SECONDS)
            else:
                return cls(pool, schema)
        raise DatabaseUnavailableError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction; leaving it normally commits, an exception rolls back.

        Raises:
            DatabaseUnavailableError: the server went away; nothing was committed, or nobody can know.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                transaction = Transaction(connection)
                yield transaction
        except UNREACHABLE as error:
            if isinstance(error, ValueError):
                raise  # a value that asyncpg cannot encode: the server is well
            raise DatabaseUnavailableError(f"talking to Postgres: {error!r}") from error
        if transaction.sends:
            self.outbox_filled.set()
        transaction.committed()

    def units(self, unit: Callable[[Transaction], T]) -> Callable[[], AbstractAsyncContextManager[T]]:
        """Give what opens a unit of work: a transaction and the repositories over it, one ending with the other."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[T]:
            async with self.transaction() as transaction:
                yield unit(transaction)

        return opened

    async def ping(self) -> None:
        """Ask the server for nothing.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        async with self.transaction() as transaction:
            await transaction.connection.execute("select 1")

    async def close(self) -> None:
        """Give the connections back; those still busy after 5 s are cut."""
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
