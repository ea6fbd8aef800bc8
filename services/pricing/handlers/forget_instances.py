"""Forget instances that are over, and notices that nobody sends again."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from services.pricing.ports import UnitOfWork, UnitOfWorkFactory
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 5_000
"""Rows of one transaction: notices that come meanwhile do not wait for long."""


async def forget_instances(
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ended_kept: timedelta,
    longest_kept: timedelta,
    notices_kept: timedelta,
) -> tuple[int, int]:
    """Forget in batches; return how many instances and how many notices went.

    An instance whose end nobody told of goes `longest_kept` after it was first seen.
    """
    now = clock.now()

    async def instances(uow: UnitOfWork) -> int:
        return await uow.instances.forget_instances(
            ended_before=now - ended_kept, seen_before=now - longest_kept, most=MOST_AT_ONCE
        )

    async def notices(uow: UnitOfWork) -> int:
        return await uow.instances.forget_notices(before=now - notices_kept, most=MOST_AT_ONCE)

    gone = await _all(instances, unit_of_work), await _all(notices, unit_of_work)
    log.info("instances_forgotten", instances=gone[0], notices=gone[1])
    return gone


async def _all(forget: Callable[[UnitOfWork], Awaitable[int]], unit_of_work: UnitOfWorkFactory) -> int:
    total = 0
    while True:
        async with unit_of_work() as uow:
            gone = await forget(uow)
        total += gone
        if gone < MOST_AT_ONCE:
            return total
