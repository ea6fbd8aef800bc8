"""What the optimizer does by itself: the timer, and planning that is due."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from services.optimizer.domain.warm_up import warm_up
from services.optimizer.handlers.propose_plan import propose_plan
from services.optimizer.handlers.reasons_to_wait import Limits
from services.optimizer.ports import Quotes, UnitOfWorkFactory
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.leases import Lease

PLANNING_LEASE = timedelta(minutes=10)
"""Longer than planning takes: one plan of a cluster at a time."""

LARGEST_BATCH = 8

Hold = Callable[[str, timedelta], AbstractAsyncContextManager[Lease | None]]


async def prepare_solver() -> None:
    """Compile the solver beside everything else: the first plan after an installation need not wait for it."""
    await asyncio.to_thread(warm_up)
    await asyncio.Event().wait()  # a loop that ends would end the service


async def plan_all(*, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
    """Every cluster's plan is due."""
    async with unit_of_work() as uow:
        await uow.plans.want_all(PlanTrigger.TIMER, requested_by="timer", due_at=clock.now())


async def plan_due(
    *,
    unit_of_work: UnitOfWorkFactory,
    hold: Hold,
    quotes: Quotes,
    clock: Clock,
    ids: Ids,
    limits: Limits,
) -> None:
    """Do the planning that is due, cluster by cluster; what another replica is at is left to it."""
    async with unit_of_work() as uow:
        due = await uow.plans.due(now=clock.now(), limit=LARGEST_BATCH)
    for wanted in due:
        async with hold(f"plan:{wanted.cluster_id}", PLANNING_LEASE) as lease:
            if lease is not None:
                await propose_plan(
                    wanted,
                    unit_of_work=unit_of_work,
                    quotes=quotes,
                    clock=clock,
                    ids=ids,
                    limits=limits,
                    stopwatch=time.perf_counter,
                )
