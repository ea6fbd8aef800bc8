"""Polls that one replica does for all: what it asks AWS for and stores, the others need not ask for again."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from shared.kernel.errors import UnavailableError
from shared.runtime.leases import Lease, Leases

PERIODS_HELD = 1.5
"""Longer than from one poll to the next, so that a replica that is well keeps its turn; another takes the turn of one
that died so much later. Where a poll takes longer than that, two may poll: that costs requests, and harms nothing."""


class SolePolls:
    """Keeps one replica's turns from poll to poll."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._held: dict[str, Lease] = {}

    def poll(
        self, name: str, period: timedelta, work: Callable[[], Awaitable[object]]
    ) -> Callable[[], Awaitable[None]]:
        """Give `work`, done in each period, as something that does nothing while it is another replica's turn.

        A replica whose poll fails gives its turn away: another's network or credentials may be better.
        """

        async def poll() -> None:
            lease = await self._leases.acquire(f"poll_{name}", lifetime=period * PERIODS_HELD)
            if lease is None:
                return
            self._held[name] = lease
            try:
                await work()
            except BaseException:
                # What went wrong with the poll is told, not that the turn ends only by itself.
                with contextlib.suppress(UnavailableError):
                    await self._release(name)
                raise

        return poll

    async def close(self) -> None:
        """Let others have our turns at once."""
        for name in list(self._held):
            await self._release(name)

    async def _release(self, name: str) -> None:
        lease = self._held.pop(name, None)
        if lease is not None:
            await self._leases.release(lease)
