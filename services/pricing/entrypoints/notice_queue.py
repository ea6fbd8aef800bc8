"""The queue of notices, read for the life of the service."""

import asyncio

import structlog

from services.pricing import metrics
from services.pricing.errors import MalformedNoticeError
from services.pricing.handlers.receive_notice import receive_notice
from services.pricing.ports import NoticeGrave, NoticeQueue, QueuedNotice, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

QUEUE_PAUSE_SECONDS = 5.0

AT_ONCE = 4
"""Notices are settled side by side: they may come by the hundred, and most of each is waiting for the database."""


async def watch_queue(
    queue: NoticeQueue, *, grave: NoticeGrave, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> None:
    """Take notices from the queue for ever.

    A message is deleted after what it says is committed, or after it is stored among the dead letters. One that
    fails otherwise stays: the queue shows it again later, and its own redrive policy ends that.
    """
    at_once = asyncio.Semaphore(AT_ONCE)

    async def settle(notice: QueuedNotice) -> bool:
        async with at_once:
            return await _settle(notice, grave=grave, unit_of_work=unit_of_work, clock=clock, ids=ids)

    while True:
        try:
            received = await queue.receive()
            outcomes = await asyncio.gather(*map(settle, received), return_exceptions=True)
            done = [
                notice.handle for notice, outcome in zip(received, outcomes, strict=True) if outcome is True
            ]
            if done:
                await queue.delete(done)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        except SpotError as error:
            log.warning("queue_awaited", error=str(error))
            await clock.sleep(QUEUE_PAUSE_SECONDS)


async def _settle(
    notice: QueuedNotice, *, grave: NoticeGrave, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> bool:
    """Say whether a message may be deleted.

    Raises:
        SpotError: what it takes is away; the message stays.
    """
    try:
        await receive_notice(notice.body, unit_of_work=unit_of_work, clock=clock, ids=ids)
    except MalformedNoticeError as error:
        await grave.bury(notice, reason=str(error))
        metrics.notices_refused.labels(error.reason).inc()
        log.warning("notice_refused", reason=error.reason, error=str(error), message_id=notice.message_id)
    except SpotError:
        raise
    except Exception:
        metrics.notices_refused.labels("unexpected").inc()
        log.exception("notice_kept", message_id=notice.message_id)
        return False
    return True
