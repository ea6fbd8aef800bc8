"""One at a time: a lease in the service's own schema, with a fencing token that rises with each holder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.runtime.postgres import Database


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on something until it expires; renew it before."""

    name: str
    holder: str
    token: int
    """Higher than every earlier holder's: whoever receives a command refuses a lower one."""


class Leases:
    """Takes leases as one holder, usually a process."""

    def __init__(self, database: Database, *, holder: str) -> None:
        self._database = database
        self._holder = holder

    async def acquire(self, name: str, *, lifetime: timedelta) -> Lease | None:
        """Take or renew a lease; None while somebody else holds it.

        The database's clock decides, so replicas need not agree on the time. Renewing keeps the token.
        """
        async with self._database.transaction() as transaction:
            token = await transaction.connection.fetchval(
                """
                insert into leases as held (name, holder, token, expires_at) values ($1, $2, 1, now() + $3)
                on conflict (name) do update
                set holder = excluded.holder,
                    expires_at = excluded.expires_at,
                    token = held.token + (held.holder <> excluded.holder)::int
                where held.holder = excluded.holder or held.expires_at < now()
                returning token
                """,
                name,
                self._holder,
                lifetime,
            )
        return None if token is None else Lease(name, self._holder, token)

    async def release(self, lease: Lease) -> None:
        """Let the next one in now rather than at the lease's end."""
        async with self._database.transaction() as transaction:
            await transaction.connection.execute(
                "update leases set expires_at = now() - interval '1 second'"
                " where name = $1 and holder = $2 and token = $3",
                lease.name,
                lease.holder,
                lease.token,
            )

    @asynccontextmanager
    async def held(self, name: str, *, lifetime: timedelta) -> AsyncIterator[Lease | None]:
        """Hold a lease for a block of work that surely ends within its lifetime."""
        lease = await self.acquire(name, lifetime=lifetime)
        try:
            yield lease
        finally:
            if lease is not None:
                await self.release(lease)
