"""Keep the platform's copies of this cluster right: a snapshot first, then deltas without gaps."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from agent import metrics
from agent.domain import publishing
from agent.domain.mirror import Mirror, gather
from agent.domain.numbering import Numbering
from agent.ports import Outbox
from shared.contracts.v1.agent import ClusterChanged, SnapshotChunkPublished
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.workload import ClusterObjects

log = structlog.get_logger(__name__)


class StatePublisher:
    """Numbers and publishes the state; one turn at a time."""

    def __init__(
        self,
        *,
        cluster_id: str,
        mirror: Mirror,
        numbering: Numbering,
        outbox: Outbox,
        encode: Callable[[ClusterObjects], bytes],
        clock: Clock,
        ids: Ids,
        resync_period: timedelta,
        resync_at_most_every: timedelta,
    ) -> None:
        self._cluster_id = cluster_id
        self._mirror = mirror
        self._numbering = numbering
        self._outbox = outbox
        self._encode = encode
        self._clock = clock
        self._ids = ids
        self._resync_period = resync_period
        self._at_most_every = resync_at_most_every
        self._snapshot_at: datetime | None = None
        self._asked_because: str | None = "start"

    @property
    def has_begun(self) -> bool:
        """Whether a first snapshot was published."""
        return self._snapshot_at is not None

    def ask_snapshot(self, reason: str) -> None:
        """Publish a snapshot at one of the next turns."""
        self._asked_because = self._asked_because or reason

    def turn(self) -> None:
        """Publish what changed, and a snapshot when one is due."""
        self._publish_changes()
        reason = self._reason_for_snapshot()
        if reason is not None:
            self._publish_snapshot(reason)

    def _publish_changes(self) -> None:
        delta = self._mirror.take_delta()
        if delta is None or self._snapshot_at is None or self._outbox.has_lost_state:
            return  # the snapshot to come holds it
        for part in publishing.batches(delta):
            event = ClusterChanged.make(
                scope=self._cluster_id,
                clock=self._clock,
                ids=self._ids,
                epoch=self._numbering.epoch,
                sequence=self._numbering.advance(),
                upserts=gather(part.upserts),
                deletes=part.deletes,
            )
            self._outbox.add(event)
            metrics.deltas_published.inc()

    def _reason_for_snapshot(self) -> str | None:
        if self._outbox.has_lost_state:
            return "deltas were dropped" if self._outbox.wants_snapshot else None
        now = self._clock.now()
        if self._snapshot_at is not None:
            age = now - self._snapshot_at
            if age >= self._resync_period:
                return "periodic"
            if age < self._at_most_every:
                return None
        return self._asked_because

    def _publish_snapshot(self, reason: str) -> None:
        if self._outbox.has_lost_state:
            # The lost changes were never numbered: without a number of its own, this snapshot could be taken
            # for an older one at the same position.
            self._numbering.advance()
            self._outbox.begin_snapshot()
        entries = self._mirror.published()
        bodies = list(publishing.chunks(entries, encode=self._encode))
        now = self._clock.now()
        for index, body in enumerate(bodies):
            event = SnapshotChunkPublished.make(
                scope=self._cluster_id,
                clock=self._clock,
                ids=self._ids,
                epoch=self._numbering.epoch,
                sequence=self._numbering.sequence,
                index=index,
                count=len(bodies),
                as_of=now,
                body=body,
            )
            self._outbox.add(event)
        self._snapshot_at = now
        self._asked_because = None
        metrics.snapshots_published.inc()
        log.info(
            "snapshot_published",
            reason=reason,
            objects=len(entries),
            chunks=len(bodies),
            sequence=self._numbering.sequence,
        )
