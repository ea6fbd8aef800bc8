"""Time is an argument: pure code takes `now`, everything else takes a Clock."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a test's clock does not wait in real time."""
        ...
