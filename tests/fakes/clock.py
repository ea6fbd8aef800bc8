"""A clock that only tests move."""

import asyncio
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Follows the event loop's time, which looptime fast-forwards."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._start = start
        self._origin: float | None = None

    def now(self) -> datetime:
        time = asyncio.get_running_loop().time()
        if self._origin is None or time < self._origin:
            # looptime takes the loop over after the fixtures: its time begins anew, ours goes on from the start.
            self._origin = time
        return self._start + timedelta(seconds=time - self._origin)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
