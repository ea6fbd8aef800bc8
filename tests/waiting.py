"""Wait for real servers: a condition with a deadline, never a bare sleep."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

DEADLINE_SECONDS = 20.0


async def until(
    condition: Callable[[], Any | Awaitable[Any]], *, is_: object = None, seconds: float = DEADLINE_SECONDS
) -> Any:
    """Wait until the condition is true (or equals `is_`); return what it gave."""
    given: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                given = condition()
                if inspect.isawaitable(given):
                    given = await given
                if given if is_ is None else given == is_:
                    return given
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so after {seconds} s; last seen: {given!r}") from None
