"""Waiting for what the product, or its world, is about to do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo.errors import DemoError

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Patience:
    """Asks again and again, and says where to look when it was in vain."""

    logs: Path

    async def until(
        self,
        ask: Callable[[], Any],
        is_so: Callable[[Any], object],
        what: str,
        *,
        seconds: float,
    ) -> Any:
        """Ask until it is so.

        Raises:
            DemoError: it did not become so in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            answer = await ask()
            if is_so(answer):
                return answer
            if loop.time() > deadline:
                raise DemoError(f"waited {seconds:.0f} s in vain for {what}; the logs are in {self.logs}")
            await asyncio.sleep(POLL_SECONDS)
