"""How often work that fails is tried again."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any, cast

import pytest

from services.pricing.errors import NoPriceSourceError
from shared.kernel.errors import RetryableError
from shared.runtime.health import Health
from shared.runtime.service import Runtime
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds

pytestmark = pytest.mark.looptime

MINUTE = timedelta(minutes=1)


def runtime() -> Runtime:
    absent = cast("Any", None)
    return Runtime(
        name="test",
        clock=FakeClock(),
        ids=CountedIds(),
        health=Health(),
        database=absent,
        bus=absent,
        leases=absent,
        safe_mode=absent,
    )


async def run(of: Runtime, *, seconds: float) -> None:
    [(_, body)] = of._loops
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await body()


async def test_what_must_succeed_once_is_tried_less_and_less_often() -> None:
    at: list[float] = []
    of = runtime()

    async def work() -> None:
        at.append(asyncio.get_running_loop().time())
        raise RetryableError("not yet")

    of.once("first", timedelta(seconds=5), work)
    await run(of, seconds=3600)
    assert [round(b - a) for a, b in itertools.pairwise(at)][:8] == [5, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize(
    ("error", "period", "pause"),
    [
        (RetryableError("away"), 15 * MINUTE, 30),
        (RetryableError("away", retry_after_seconds=5), 15 * MINUTE, 30),
        (RetryableError("away", retry_after_seconds=60), 15 * MINUTE, 60),
        (NoPriceSourceError("nobody says"), 15 * MINUTE, 900),
        (NoPriceSourceError("nobody says"), MINUTE, 60),
    ],
)
async def test_a_failure_is_tried_again_as_late_as_it_asks_for(
    error: RetryableError, period: timedelta, pause: int
) -> None:
    at: list[float] = []
    of = runtime()

    async def work() -> None:
        at.append(asyncio.get_running_loop().time())
        raise error

    of.every("again", period, work)
    await run(of, seconds=2000)
    assert round(at[1] - at[0]) == pause
