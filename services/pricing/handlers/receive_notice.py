"""Pass on what EC2 said about an instance, once, and flag its pool when we know it."""

import structlog

from services.pricing import metrics
from services.pricing.domain import notices
from services.pricing.domain.pool_observations import Observation
from services.pricing.handlers import keep_observation
from services.pricing.handlers.flag_pool import raise_flag
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import FlagReason, InstanceNoticeReceived
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.interruption import InterruptionKind

log = structlog.get_logger(__name__)


async def receive_notice(body: str, *, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids) -> int:
    """Store and announce the notices in one queue message; return how many were new.

    Raises:
        MalformedNoticeError: the message is no EventBridge event, and never will be.
    """
    new = 0
    for notice in notices.parse(body):
        async with unit_of_work() as uow:
            if not await uow.risk.add_notice(notice):
                continue
            new += 1
            event = InstanceNoticeReceived.make(
                scope=notice.region,
                clock=clock,
                ids=ids,
                instance_id=notice.instance_id,
                account=notice.account,
                kind=notice.kind,
                notice_at=notice.at,
            )
            await uow.outbox.add(event)
            pool = await uow.risk.instance_pool(notice.instance_id)
            if pool is not None and (happened := keep_observation.OBSERVATIONS.get(notice.kind)) is not None:
                seen = Observation(pool, happened, notice.instance_id, notice.at)
                await keep_observation.keep(seen, uow=uow)
            if pool is not None and notice.kind is InterruptionKind.SPOT_INTERRUPTION:
                await raise_flag(
                    pool,
                    reason=FlagReason.INTERRUPTION,
                    at=notice.at,
                    uow=uow,
                    clock=clock,
                    ids=ids,
                    cause=event,
                )
        metrics.notices_received.labels(notice.kind.value).inc()
        log.info("notice_received", instance_id=notice.instance_id, kind=notice.kind, region=notice.region)
    return new
