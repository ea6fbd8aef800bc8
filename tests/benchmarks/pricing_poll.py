"""One poll of pricing, as the service does it and in a process that does nothing else.

    python -m tests.benchmarks.pricing_poll DATABASE_URL BUS_URL start_up|refresh_prices [INSTANT]

AWS is where the environment says. INSTANT is what the clock shows, when it is not now. What it took is printed as JSON.
"""

import asyncio
import json
import logging
import sys
import time
from datetime import datetime
from pathlib import Path

import aioboto3
import structlog

from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2SpotPriceSource
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.unit_of_work import factory
from services.pricing.entrypoints.ticker import Refreshers
from services.pricing.settings import PricingSettings
from shared.kernel.clock import Clock
from shared.runtime import outbox
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database

REGION = "us-east-1"


class Then:
    """A clock that says when a recorded day ended."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        """See Clock."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """See Clock; nothing is throttled here."""
        raise AssertionError(f"asked to wait {seconds} s")


async def main(database_url: str, bus_url: str, poll: str, instant: str = "") -> int:
    """Do it, and print what it took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    database = await Database.open(database_url, schema="pricing", size=4)
    bus = Bus(
        service="pricing",
        url=bus_url,
        user="",
        password="",
        clock=SystemClock(),
        health=Health(),
        database=database,
    )
    await bus.broker.connect()
    refreshers = _refreshers(database, Then(datetime.fromisoformat(instant)) if instant else SystemClock())
    idle = _peak_megabytes()
    began, cpu_began = time.perf_counter(), time.process_time()
    await {"start_up": refreshers.start_up, "refresh_prices": refreshers.refresh_prices}[poll]()
    messages = 0
    while sent := await outbox.relay_once(database, bus):
        messages += sent
    found = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "messages": messages,
        "peak_megabytes": _peak_megabytes(),
        "idle_megabytes": idle,
    }
    await bus.stop()
    await database.close()
    print(json.dumps(found))  # noqa: T201
    return 0


def _refreshers(database: Database, clock: Clock) -> Refreshers:
    session = aioboto3.Session(region_name=REGION)
    requests = AwsRequests(budgets=PostgresBudgets(database), clock=clock, requests_per_second=10, burst=50)
    settings = PricingSettings(regions=frozenset({REGION}))
    return Refreshers(
        settings=settings,
        catalogue=Ec2Catalogue(session, requests),
        on_demand=[PriceListSource(session, requests, api_region=REGION)],
        spot_prices=Ec2SpotPriceSource(session, requests),
        advisor=SpotAdvisorFile(settings.spot_advisor_url),
        unit_of_work=factory(database),
        clock=clock,
        ids=UuidSeven(),
    )


def _peak_megabytes() -> int:
    """Give the largest resident memory since this program began; getrusage's includes that of who started it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) // 1024


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
