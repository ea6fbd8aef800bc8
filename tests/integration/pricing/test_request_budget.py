"""Two replicas of pricing ask AWS: they keep within one budget, whoever of them asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from shared.runtime.postgres import Database
from tests.fakes.clock import FakeClock

pytestmark = [pytest.mark.postgres]

REGION = "us-east-1"
BURST = 4
RATE = 0.1
"""Requests a second: that slow, the time that the test itself takes gives nobody anything back."""


class NotedClock(FakeClock):
    """Notes who waits how long, and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def answer(**_parameters: Any) -> Mapping[str, Any]:
    return {}


async def test_replicas_ask_no_more_than_one_of_them_alone(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    clocks = [NotedClock() for _ in range(2)]
    replicas = [
        AwsRequests(
            budgets=PostgresBudgets(await make_database("pricing")),
            clock=clock,
            requests_per_second=RATE,
            burst=BURST,
        )
        for clock in clocks
    ]
    began = time.monotonic()
    calls = [replicas[n % 2].call(answer, region=REGION, doing="asking") for n in range(12)]
    await asyncio.gather(*calls, replicas[0].call(answer, region="eu-west-1", doing="asking"))
    took = time.monotonic() - began
    waits = sorted(clocks[0].waits + clocks[1].waits)
    assert clocks[0].waits
    assert clocks[1].waits
    assert len(waits) == 12 - BURST, "the other region has a burst of its own"
    for turn, wait in enumerate(waits, start=1):
        assert turn / RATE - took <= wait <= turn / RATE


async def test_a_replica_that_starts_knows_what_the_others_were_told(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    clock = NotedClock()

    async def replica() -> AwsRequests:
        budgets = PostgresBudgets(await make_database("pricing"))
        return AwsRequests(budgets=budgets, clock=clock, requests_per_second=RATE, burst=BURST)

    one = await replica()
    for _ in range(BURST):
        await one.call(answer, region=REGION, doing="asking")
    assert clock.waits == []
    await (await replica()).call(answer, region=REGION, doing="asking")
    assert clock.waits == [pytest.approx(1 / RATE, rel=0.2)]
