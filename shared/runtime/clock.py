"""The real clock: the one place that asks the machine for the time."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """See shared.kernel.clock.Clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)
