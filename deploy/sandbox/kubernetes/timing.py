"""Sandbox time: what takes a minute in a real cluster takes a minute divided by the clock factor here."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime


def stamp(instant: datetime) -> str:
    """Write an instant as Kubernetes does, to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Timeline:
    """Calls back after a number of sandbox seconds; everything still to come is dropped by `stop`."""

    def __init__(self, clock_factor: float) -> None:
        self.clock_factor = clock_factor
        self._ids = itertools.count()
        self._due: dict[int, asyncio.TimerHandle] = {}

    def now(self) -> datetime:
        """Return the wall clock's instant: timestamps are not scaled, only durations are."""
        return datetime.now(UTC)

    def stamp(self) -> str:
        """Return now as Kubernetes writes it."""
        return stamp(self.now())

    def after(self, sandbox_seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back later, and return what cancels that."""
        number = next(self._ids)

        def fire() -> None:
            self._due.pop(number, None)
            callback()

        loop = asyncio.get_running_loop()
        self._due[number] = loop.call_later(sandbox_seconds / self.clock_factor, fire)

        def cancel() -> None:
            handle = self._due.pop(number, None)
            if handle is not None:
                handle.cancel()

        return cancel

    def stop(self) -> None:
        """Drop everything that is still to come."""
        for handle in self._due.values():
            handle.cancel()
        self._due.clear()
