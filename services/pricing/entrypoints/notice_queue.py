"""The queue of notices, read for the life of the service."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.pricing import metrics
from services.pricing.domain import notices
from services.pricing.domain.notices import Notice
from services.pricing.errors import MalformedNoticeError
from services.pricing.handlers.receive_notices import receive_notices
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
    reader = _Reader(grave=grave, unit_of_work=unit_of_work, clock=clock, ids=ids)
    while True:
        try:
            done, trouble = await reader.settle(await queue.receive())
            if done:
                await queue.delete([queued.handle for queued in done])
            if trouble is not None:
                raise trouble
        except SpotError as error:
            log.warning("queue_awaited", error=str(error))
            await clock.sleep(QUEUE_PAUSE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Reader:
    grave: NoticeGrave
    unit_of_work: UnitOfWorkFactory
    clock: Clock
    ids: Ids

    async def settle(self, received: Sequence[QueuedNotice]) -> tuple[list[QueuedNotice], SpotError | None]:
        """Store what can be read, then bury the rest; give the messages to delete, and why others have to wait."""
        found: list[tuple[QueuedNotice, list[Notice]]] = []
        refused: list[tuple[QueuedNotice, MalformedNoticeError]] = []
        for queued in received:
            try:
                found.append((queued, notices.parse(queued.body)))
            except MalformedNoticeError as error:
                refused.append((queued, error))
        done, trouble = await self._store(found)
        for queued, malformed in refused:
            try:
                await self._bury(queued, malformed)
            except SpotError as error:
                trouble = error
            else:
                done.append(queued)
        return done, trouble

    async def _store(
        self, found: Sequence[tuple[QueuedNotice, list[Notice]]]
    ) -> tuple[list[QueuedNotice], SpotError | None]:
        """Store all at once; where that fails for a reason of one's own, one after the other."""
        try:
            await self._receive([notice for _, said in found for notice in said])
        except SpotError as error:
            return [], error
        except Exception:
            if len(found) > 1:
                log.warning("notices_kept_apart", messages=len(found), exc_info=True)
                outcomes = [await self._store([one]) for one in found]
                troubles = [trouble for _, trouble in outcomes if trouble is not None]
                return [queued for done, _ in outcomes for queued in done], next(iter(troubles), None)
            metrics.notices_refused.labels("unexpected").inc()
            log.exception("notice_kept", message_id=found[0][0].message_id)
            return [], None
        return [queued for queued, _ in found], None

    async def _receive(self, said: Sequence[Notice]) -> None:
        await receive_notices(said, unit_of_work=self.unit_of_work, clock=self.clock, ids=self.ids)

    async def _bury(self, queued: QueuedNotice, error: MalformedNoticeError) -> None:
        await self.grave.bury(queued, reason=str(error))
        metrics.notices_refused.labels(error.reason).inc()
        log.warning("notice_refused", reason=error.reason, error=str(error), message_id=queued.message_id)
