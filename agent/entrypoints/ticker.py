"""What happens by the clock."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from shared.kernel.clock import Clock
from shared.kernel.errors import UnavailableError

log = structlog.get_logger(__name__)


async def every(
    name: str,
    period: timedelta,
    work: Callable[[], Awaitable[object]],
    *,
    clock: Clock,
    report: Callable[[str, str | None], None],
) -> None:
    """Do this work for ever; a failure is reported and tried again at the next turn."""
    while True:
        try:
            await work()
            report(name, None)
        except UnavailableError as error:
            log.warning("tick_waits", loop=name, error=str(error))
            report(name, str(error))
        except Exception as error:
            log.exception("tick_failed", loop=name)
            report(name, repr(error))
        await clock.sleep(period.total_seconds())
