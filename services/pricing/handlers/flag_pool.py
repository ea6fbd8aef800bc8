"""Tell every cluster to keep away from a pool in which something happened."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import PoolKey

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened in a pool."""

    pool: PoolKey
    reason: FlagReason
    at: datetime
    cause: Message
    """What told us. Who saw it is not told on."""


async def raise_flags(incidents: Sequence[Incident], *, uow: UnitOfWork, clock: Clock, ids: Ids) -> None:
    """Flag the pools of incidents, except where a flag that lasts as long is raised already."""
    if not incidents:
        return
    held = dict(await uow.risk.flags({incident.pool for incident in incidents}))
    raised: dict[PoolKey, PoolFlag] = {}
    events: list[PoolFlagged] = []
    for incident in incidents:
        pool, reason = incident.pool, incident.reason
        flag = risk_flags.flag_for(
            pool, reason=reason.value, at=incident.at, now=clock.now(), held=held.get(pool)
        )
        if flag is None:
            continue
        held[pool] = raised[pool] = flag
        events.append(
            PoolFlagged.make(
                scope=pool.region,
                clock=clock,
                ids=ids,
                cause=incident.cause,
                pool=pool,
                reason=reason,
                raised_at=flag.raised_at,
                expires_at=flag.expires_at,
            )
        )
    if not raised:
        return
    await uow.risk.put_flags(list(raised.values()))
    await uow.outbox.add_all(events)
    uow.on_commit(lambda: _count(events))


def _count(events: Sequence[PoolFlagged]) -> None:
    for event in events:
        metrics.pools_flagged.labels(event.reason.value).inc()
        log.info("pool_flagged", pool=str(event.pool), region=event.pool.region, reason=event.reason)


async def flag_interrupted_pool(message: NodeInterrupted, *, uow: UnitOfWork, clock: Clock, ids: Ids) -> None:
    """A node was interrupted, and the executor knew its pool."""
    if message.pool is None or message.kind is not InterruptionKind.SPOT_INTERRUPTION:
        return
    incident = Incident(message.pool, FlagReason.INTERRUPTION, message.occurred_at, message)
    await raise_flags([incident], uow=uow, clock=clock, ids=ids)


async def flag_insufficient_pool(
    message: CapacityInsufficient, *, uow: UnitOfWork, clock: Clock, ids: Ids
) -> None:
    """EC2 had no capacity in a pool."""
    incident = Incident(message.pool, FlagReason.INSUFFICIENT_CAPACITY, message.occurred_at, message)
    await raise_flags([incident], uow=uow, clock=clock, ids=ids)


async def keep_instance_pool(message: InstanceLaunched, *, uow: UnitOfWork) -> None:
    """Remember which pool an instance of ours is in, for when a notice names only the instance."""
    await uow.risk.put_instance_pool(message.instance_id, message.pool)
