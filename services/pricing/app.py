"""Join pricing's ports to their adapters."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import aioboto3

from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2SpotPriceSource
from services.pricing.adapters.notice_grave import BusNoticeGrave
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.sqs_events import SqsNoticeQueue
from services.pricing.adapters.unit_of_work import PostgresUnitOfWork, factory
from services.pricing.entrypoints import subscribers, ticker
from services.pricing.entrypoints.notice_queue import watch_queue
from services.pricing.settings import PricingSettings
from shared.runtime.flag_board import FlagBoard
from shared.runtime.service import Runtime

FIRST_TRY_PERIOD = timedelta(seconds=5)
"""How soon the very first reading is tried again: until it succeeds nobody can plan."""

HISTORY_LEASE = timedelta(minutes=15)
"""Longer than folding all months of a year of prices takes."""


def wiring(settings: PricingSettings) -> Callable[[Runtime], Awaitable[None]]:
    """Give what wires the service with these settings."""

    async def wire(runtime: Runtime) -> None:
        unit_of_work = factory(runtime.database)
        session = aioboto3.Session()
        refreshers = ticker.Refreshers(
            settings=settings,
            catalogue=Ec2Catalogue(session),
            on_demand=[PriceListSource(session, api_region=settings.price_list_region)],
            spot_prices=Ec2SpotPriceSource(session),
            advisor=SpotAdvisorFile(settings.spot_advisor_url),
            unit_of_work=unit_of_work,
            clock=runtime.clock,
            ids=runtime.ids,
        )
        subscribers.subscribe(
            runtime.bus,
            within=PostgresUnitOfWork,
            unit_of_work=unit_of_work,
            board=FlagBoard(runtime.bus, clock=runtime.clock),
            clock=runtime.clock,
            ids=runtime.ids,
            spot_fresh_for=settings.spot_fresh_for,
            on_demand_fresh_for=settings.on_demand_fresh_for,
        )

        runtime.once("start_up", FIRST_TRY_PERIOD, refreshers.start_up)
        runtime.every("prices", settings.refresh_period, refreshers.refresh_prices, first=False)
        runtime.every("catalogue", settings.catalogue_period, refreshers.refresh_catalogues, first=False)
        runtime.every("on_demand", settings.on_demand_retry, refreshers.retry_on_demand, first=False)
        runtime.every("ratings", settings.advisor_period, refreshers.refresh_ratings)

        async def keep_history() -> None:
            async with runtime.leases.held("price_history", lifetime=HISTORY_LEASE) as lease:
                if lease is not None:
                    await refreshers.keep_history()

        runtime.every("price_history", settings.history_period, keep_history)
        if settings.notice_queue_url is not None:
            url, queue_region = settings.notice_queue_url, settings.notice_queue_region

            async def watch_notices() -> None:
                async with SqsNoticeQueue.opened(session, url=url, region=queue_region) as queue:
                    await watch_queue(
                        queue,
                        grave=BusNoticeGrave(runtime.bus),
                        unit_of_work=unit_of_work,
                        clock=runtime.clock,
                        ids=runtime.ids,
                    )

            runtime.loop("notices", watch_notices)

    return wire
