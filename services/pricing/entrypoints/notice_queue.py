"""The queue of notices, read for the life of the service."""

from collections.abc import Sequence

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


async def watch_queue(
    queue: NoticeQueue, *, grave: NoticeGrave, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> None:
    """Take notices from the queue for ever.

    A message is deleted after what it says is committed, or after it is stored among the dead letters. One that
    fails otherwise stays: the queue shows it again later, and its own redrive policy ends that.
    """
    while True:
        done: list[QueuedNotice] = []
        try:
            try:
                for notice in await queue.receive():
                    if not await _settle(
                        notice, grave=grave, unit_of_work=unit_of_work, clock=clock, ids=ids
                    ):
                        continue
                    done.append(notice)
            finally:
                await _delete(queue, done)
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


async def _delete(queue: NoticeQueue, done: Sequence[QueuedNotice]) -> None:
    if done:
        await queue.delete([notice.handle for notice in done])
