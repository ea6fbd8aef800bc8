"""Tell every cluster to keep away from a pool in which something happened."""

from datetime import datetime

import structlog

from services.pricing import metrics
from services.pricing.domain import risk_flags
from services.pricing.ports import UnitOfWork
from shared.contracts.base import Message
from shared.contracts.v1.executor import CapacityInsufficient, InstanceLaunched, NodeInterrupted
from shared.contracts.v1.pricing import FlagReason, PoolFlagged
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import PoolKey

log = structlog.get_logger(__name__)


async def raise_flag(
    pool: PoolKey,
    *,
    reason: FlagReason,
    at: datetime,
    uow: UnitOfWork,
    clock: Clock,
    ids: Ids,
    cause: Message,
) -> None:
    """Flag a pool for an incident, unless a flag that lasts longer is raised already. Who saw it is not told."""
    held = await uow.risk.flag(pool)
    flag = risk_flags.flag_for(pool, reason=reason.value, at=at, now=clock.now(), held=held)
    if flag is None:
        return
    await uow.risk.put_flag(flag)
    event = PoolFlagged.make(
        scope=pool.region,
        clock=clock,
        ids=ids,
        cause=cause,
        pool=pool,
        reason=reason,
        raised_at=flag.raised_at,
        expires_at=flag.expires_at,
    )
    await uow.outbox.add(event)
    metrics.pools_flagged.labels(reason.value).inc()
    log.info("pool_flagged", pool=str(pool), region=pool.region, reason=reason)


async def flag_interrupted_pool(message: NodeInterrupted, *, uow: UnitOfWork, clock: Clock, ids: Ids) -> None:
    """A node was interrupted, and the executor knew its pool."""
    if message.pool is None or message.kind is not InterruptionKind.SPOT_INTERRUPTION:
        return
    await raise_flag(
        message.pool,
        reason=FlagReason.INTERRUPTION,
        at=message.occurred_at,
        uow=uow,
        clock=clock,
        ids=ids,
        cause=message,
    )


async def flag_insufficient_pool(
    message: CapacityInsufficient, *, uow: UnitOfWork, clock: Clock, ids: Ids
) -> None:
    """EC2 had no capacity in a pool."""
    await raise_flag(
        message.pool,
        reason=FlagReason.INSUFFICIENT_CAPACITY,
        at=message.occurred_at,
        uow=uow,
        clock=clock,
        ids=ids,
        cause=message,
    )


async def keep_instance_pool(message: InstanceLaunched, *, uow: UnitOfWork) -> None:
    """Remember which pool an instance of ours is in, for when a notice names only the instance."""
    await uow.risk.put_instance_pool(message.instance_id, message.pool)
