"""Join the optimizer's ports to their adapters."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from services.optimizer.adapters.bus import BusAgents, BusQuotes
from services.optimizer.adapters.postgres import PostgresUnitOfWork, factory
from services.optimizer.entrypoints import subscribers, ticker
from services.optimizer.handlers import keep_cluster
from services.optimizer.handlers.reasons_to_wait import Limits
from services.optimizer.settings import OptimizerSettings
from shared.runtime.flag_board import FlagBoard
from shared.runtime.leases import Lease
from shared.runtime.service import Runtime

GAPS_PERIOD = timedelta(seconds=2)


def wiring(settings: OptimizerSettings) -> Callable[[Runtime], Awaitable[None]]:
    """Give what wires the service with these settings."""

    async def wire(runtime: Runtime) -> None:
        unit_of_work = factory(runtime.database)
        clock, ids = runtime.clock, runtime.ids
        flags = FlagBoard(runtime.bus, clock=clock)
        quotes = BusQuotes(
            runtime.bus,
            flags=flags,
            clock=clock,
            ids=ids,
            timeout_seconds=settings.quote_timeout_seconds,
            fresh_for=settings.quotes_fresh_for,
        )
        agents = BusAgents(runtime.bus, clock=clock, ids=ids)
        limits = Limits(
            cluster_max_age=settings.cluster_max_age,
            plan_lifetime=settings.plan_lifetime,
            pending_settle=settings.pending_settle,
            pending_patience=settings.pending_patience,
            plan_time=settings.plan_time_limit,
        )

        def hold(name: str, lifetime: timedelta) -> AbstractAsyncContextManager[Lease | None]:
            return runtime.leases.held(name, lifetime=lifetime)

        subscribers.subscribe(
            runtime.bus, within=PostgresUnitOfWork, clock=clock, pending_settle=settings.pending_settle
        )
        subscribers.serve(runtime.bus, unit_of_work=unit_of_work, quotes=quotes)
        runtime.loop("flags", flags.follow)
        runtime.loop("solver", ticker.prepare_solver)
        runtime.every(
            "timer",
            settings.plan_period,
            lambda: ticker.plan_all(unit_of_work=unit_of_work, clock=clock),
            first=False,
        )
        runtime.every(
            "planner",
            settings.look_period,
            lambda: ticker.plan_due(
                unit_of_work=unit_of_work, hold=hold, quotes=quotes, clock=clock, ids=ids, limits=limits
            ),
        )
        runtime.every(
            "gaps",
            GAPS_PERIOD,
            lambda: keep_cluster.ask_for_missing(unit_of_work=unit_of_work, agents=agents, clock=clock),
        )

    return wire
