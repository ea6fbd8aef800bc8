"""Composition root of reporting."""

from collections.abc import Awaitable, Callable

from services.reporting.adapters.prices import TableSource
from services.reporting.adapters.unit_of_work import PostgresUnitOfWork, factory
from services.reporting.entrypoints import subscribers, ticker
from services.reporting.handlers.keep_prices import Heard
from services.reporting.settings import ReportingSettings
from shared.runtime.cluster_store import ClusterStore
from shared.runtime.price_tables import ObjectPriceTables
from shared.runtime.service import Runtime


def wiring(settings: ReportingSettings) -> Callable[[Runtime], Awaitable[None]]:
    """Give what joins ports to adapters, for `service.main`."""

    async def wire(runtime: Runtime) -> None:
        unit_of_work = factory(runtime.database)
        heard = Heard()

        async def find_gaps() -> list[str]:
            async with runtime.database.transaction() as transaction:
                return await ClusterStore(transaction.connection).gaps(now=runtime.clock.now())

        subscribers.subscribe(
            runtime.bus,
            unit_of_work=unit_of_work,
            work_in=PostgresUnitOfWork,
            clock=runtime.clock,
            heard=heard,
        )
        ticker.start(
            runtime,
            settings=settings,
            unit_of_work=unit_of_work,
            price_source=TableSource(ObjectPriceTables(runtime.bus)),
            heard=heard,
            find_gaps=find_gaps,
        )

    return wire
