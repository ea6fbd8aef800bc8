"""What a person sees while it runs: a live line on a terminal, one line every five seconds elsewhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.status import Status

PERIOD_SECONDS = 1.0
QUIET_PERIOD_SECONDS = 5.0

SPINNER_WIDTH = 3
"""A live line that is longer than the terminal leaves a copy of itself at every change."""

Look = Callable[[], Awaitable[dict[str, Any]]]


class Progress:
    """Says what is done now and how the cluster stands."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._status: Status | None = None
        self._doing = "starting"
        self._task: asyncio.Task[None] | None = None
        self._before: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self._began

    def say(self, sentence: str) -> None:
        """Print a sentence that stays."""
        self._console.print(f"[dim]{self.seconds:6.1f} s[/dim]  {sentence}", highlight=False, soft_wrap=True)

    def doing(self, what: str) -> None:
        """Say what is under way from now on."""
        self._doing = what
        if self._status is not None:
            self._status.update(what)

    def watch(self, look: Look) -> None:
        """Show the cluster's state from now on."""
        if self._console.is_terminal:
            self._status = self._console.status(self._doing)
            self._status.start()
        self._task = asyncio.create_task(self._show(look))

    async def close(self) -> None:
        """Show no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._status is not None:
            self._status.stop()

    async def _show(self, look: Look) -> None:
        while True:
            line = f"{self._doing}: {_line(await look())}"
            if self._status is not None:
                self._status.update(line[: max(self._console.width - SPINNER_WIDTH, 20)])
                await asyncio.sleep(PERIOD_SECONDS)
            else:
                self.say(line)
                await asyncio.sleep(QUIET_PERIOD_SECONDS)


def _line(state: dict[str, Any]) -> str:
    cost = state["usd_per_hour"]
    return (
        f"{state['nodes_ready']}/{state['nodes']} nodes ready"
        f" ({state['instances']['spot']} spot), {state['pods_running']}/{state['pods']} pods running,"
        f" {'?' if cost is None else f'${cost:.2f}'}/h"
    )
