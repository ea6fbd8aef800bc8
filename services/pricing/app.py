"""Join pricing's ports to their adapters."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import aioboto3

from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.bulk_price_file import BulkPriceFile
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2PlacementScoreSource, Ec2SpotPriceSource
from services.pricing.adapters.model_store import ChildModelStore
from services.pricing.adapters.notice_grave import BusNoticeGrave
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.sqs_events import SqsNoticeQueue
from services.pricing.adapters.unit_of_work import PostgresUnitOfWork, factory
from services.pricing.entrypoints import subscribers, ticker, uploads
from services.pricing.entrypoints.new_regions import NewRegions
from services.pricing.entrypoints.notice_queue import watch_queue
from services.pricing.entrypoints.sole_polls import SolePolls
from services.pricing.handlers.announce_prices import keep_price_table
from services.pricing.handlers.refresh_placement_scores import refresh_placement_scores
from services.pricing.handlers.refresh_pool_risks import refresh_pool_risks
from services.pricing.ports import OnDemandPriceSource
from services.pricing.settings import PricingSettings
from shared.runtime.flag_board import FlagBoard
from shared.runtime.price_tables import ObjectPriceTables
from shared.runtime.service import Runtime

FIRST_TRY_PERIOD = timedelta(seconds=5)
"""How soon the very first reading is tried again: until it succeeds nobody can plan."""

NEW_REGIONS_PERIOD = timedelta(seconds=5)
"""How soon a region is read after a cluster is registered there."""

NEW_REGIONS_TURN = timedelta(minutes=2)
"""How long one replica reads them: longer than a region takes."""

RISK_LEASE = timedelta(minutes=15)
"""Longer than a model takes for all pools in which anybody has instances."""

HISTORY_LEASE = timedelta(minutes=15)
"""Longer than folding all months of a year of prices takes."""

TABLES_PERIOD = timedelta(seconds=15)
"""How soon the tables of prices follow what was told; who reads an older one has the events since."""

TABLES_LEASE = timedelta(minutes=2)


def wiring(settings: PricingSettings) -> Callable[[Runtime], Awaitable[None]]:
    """Give what wires the service with these settings."""

    async def wire(runtime: Runtime) -> None:
        unit_of_work = factory(runtime.database)
        session = aioboto3.Session()
        requests = AwsRequests(
            budgets=PostgresBudgets(runtime.database),
            clock=runtime.clock,
            requests_per_second=settings.aws_requests_per_second,
            burst=settings.aws_request_burst,
        )
        on_demand: list[OnDemandPriceSource] = [
            PriceListSource(session, requests, api_region=settings.price_list_region)
        ]
        if settings.price_list_bulk_url:
            on_demand.append(BulkPriceFile(settings.price_list_bulk_url))
        refreshers = ticker.Refreshers(
            settings=settings,
            catalogue=Ec2Catalogue(session, requests),
            on_demand=on_demand,
            spot_prices=Ec2SpotPriceSource(session, requests),
            advisor=SpotAdvisorFile(settings.spot_advisor_url),
            unit_of_work=unit_of_work,
            clock=runtime.clock,
            ids=runtime.ids,
        )
        model = ChildModelStore(clock=runtime.clock)
        runtime.on_close(model.close)
        subscribers.subscribe(
            runtime.bus,
            within=PostgresUnitOfWork,
            unit_of_work=unit_of_work,
            rules=refreshers.rules,
            board=FlagBoard(runtime.bus, clock=runtime.clock),
            clock=runtime.clock,
            ids=runtime.ids,
            spot_fresh_for=settings.spot_fresh_for,
            on_demand_fresh_for=settings.on_demand_fresh_for,
            risk_fresh_for=settings.risk_fresh_for,
            advisor_fresh_for=settings.advisor_fresh_for,
            model=model,
        )

        uploads.serve_uploads(
            runtime.bus,
            rules=refreshers.rules,
            unit_of_work=unit_of_work,
            clock=runtime.clock,
            ids=runtime.ids,
        )
        runtime.once("start_up", FIRST_TRY_PERIOD, refreshers.start_up)
        sole = SolePolls(runtime.leases)
        runtime.on_close(sole.close)
        for name, period, poll in (
            ("prices", settings.refresh_period, refreshers.refresh_prices),
            ("catalogue", settings.catalogue_period, refreshers.refresh_catalogues),
            ("on_demand", settings.on_demand_retry, refreshers.retry_on_demand),
        ):
            runtime.every(name, period, sole.poll(name, period, poll), first=False)
        fresh = NewRegions(refreshers=refreshers)
        for name, read in (("new_regions", fresh.read), ("new_regions_on_demand", fresh.read_on_demand)):
            runtime.every(name, NEW_REGIONS_PERIOD, sole.poll(name, NEW_REGIONS_TURN, read))
        runtime.every("ratings", settings.advisor_period, refreshers.refresh_ratings)

        async def predict_risks() -> None:
            async with runtime.leases.held("pool_risks", lifetime=RISK_LEASE) as lease:
                if lease is not None:
                    for region in await refreshers.regions():
                        await refresh_pool_risks(
                            region=region,
                            model=model,
                            unit_of_work=unit_of_work,
                            clock=runtime.clock,
                            advisor_fresh_for=settings.advisor_fresh_for,
                        )

        runtime.every("pool_risks", settings.risk_period, predict_risks)

        if settings.placement_period:
            scores = Ec2PlacementScoreSource(session, requests)

            async def refresh_scores() -> None:
                for region in await refreshers.regions():
                    await refresh_placement_scores(
                        region=region,
                        source=scores,
                        unit_of_work=unit_of_work,
                        clock=runtime.clock,
                        most_families=settings.placement_families,
                        target_vcpus=settings.placement_vcpus,
                    )

            period = settings.placement_period
            runtime.every("placement_scores", period, sole.poll("placement_scores", period, refresh_scores))

        async def keep_history() -> None:
            async with runtime.leases.held("price_history", lifetime=HISTORY_LEASE) as lease:
                if lease is not None:
                    await refreshers.forget_instances()
                    await refreshers.keep_history()

        tables = ObjectPriceTables(runtime.bus)
        written: dict[str, int] = {}

        async def keep_tables() -> None:
            async with runtime.leases.held("price_tables", lifetime=TABLES_LEASE) as lease:
                for region in await refreshers.regions() if lease is not None else ():
                    written[region] = await keep_price_table(
                        region,
                        written=written.get(region),
                        tables=tables,
                        unit_of_work=unit_of_work,
                        clock=runtime.clock,
                    )

        runtime.every("price_tables", TABLES_PERIOD, keep_tables)
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
