"""Pass on what EC2 said about instances, once, and flag their pools when we know them."""

from collections.abc import Sequence

import structlog

from services.pricing import metrics
from services.pricing.domain.notices import Notice
from services.pricing.domain.pool_observations import Observation
from services.pricing.handlers import flag_pool, keep_observation
from services.pricing.handlers.flag_pool import Incident
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import FlagReason, InstanceNoticeReceived
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.interruption import InterruptionKind

log = structlog.get_logger(__name__)


async def receive_notices(
    notices: Sequence[Notice], *, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> int:
    """Store and announce notices, all in one transaction or none; return how many were new.

    They come by the hundred, and most of each alone would be waiting for the database.
    """
    if not notices:
        return 0
    async with unit_of_work() as uow:
        unknown = await uow.risk.add_notices(notices)
        new = list({n.event_id: n for n in notices if n.event_id in unknown}.values())
        pools = await uow.risk.instance_pools({notice.instance_id for notice in new}) if new else {}
        events: list[InstanceNoticeReceived] = []
        seen: list[Observation] = []
        incidents: list[Incident] = []
        for notice in new:
            event = InstanceNoticeReceived.make(
                scope=notice.region,
                clock=clock,
                ids=ids,
                instance_id=notice.instance_id,
                account=notice.account,
                kind=notice.kind,
                notice_at=notice.at,
            )
            events.append(event)
            pool = pools.get(notice.instance_id)
            if pool is None:
                continue
            if (happened := keep_observation.OBSERVATIONS.get(notice.kind)) is not None:
                seen.append(Observation(pool, happened, notice.instance_id, notice.at))
            if notice.kind is InterruptionKind.SPOT_INTERRUPTION:
                incidents.append(Incident(pool, FlagReason.INTERRUPTION, notice.at, event))
        await uow.outbox.add_all(events)
        await keep_observation.keep(*seen, uow=uow)
        await flag_pool.raise_flags(incidents, uow=uow, clock=clock, ids=ids)
    for notice in new:
        metrics.notices_received.labels(notice.kind.value).inc()
        log.info("notice_received", instance_id=notice.instance_id, kind=notice.kind, region=notice.region)
    return len(new)
