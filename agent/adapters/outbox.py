"""Events on their way to the bus: a bounded buffer in memory, sent in order, each until it is stored.

Memory is enough: after a restart a new epoch begins with a snapshot, and outcomes are asked for again.
"""

import asyncio

import structlog

from agent import metrics
from agent.adapters.bus import Bus, MessageTooLargeError
from agent.domain.buffering import Buffer, Parcel, Weight
from agent.errors import BusUnavailableError
from shared.contracts.base import Event
from shared.contracts.subjects import subject_of
from shared.contracts.v1.agent import CommandFinished, HeartbeatSent, UsageSampled
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
WEIGHTS = {
    CommandFinished: Weight.OUTCOME,
    HeartbeatSent: Weight.LATEST,
    UsageSampled: Weight.SAMPLE,
}


class BufferedOutbox:
    """See agent.ports.Outbox."""

    def __init__(self, *, bus: Bus, clock: Clock, max_bytes: int) -> None:
        self._bus = bus
        self._clock = clock
        self._buffer = Buffer(max_bytes=max_bytes)
        self._filled = asyncio.Event()

    @property
    def wants_snapshot(self) -> bool:
        """Whether waiting state had to be dropped, and there is room for a snapshot now."""
        return self._buffer.has_lost_state and self._buffer.has_room

    @property
    def has_lost_state(self) -> bool:
        """Whether deltas make no sense until a snapshot was put."""
        return self._buffer.has_lost_state

    @property
    def waiting(self) -> int:
        """How many messages the bus has not stored yet."""
        return len(self._buffer)

    def add(self, event: Event) -> None:
        """Put an event in line."""
        parcel = Parcel(
            subject=subject_of(event).for_scope(event.scope),
            message_id=str(event.id),
            body=event.model_dump_json().encode(),
            weight=WEIGHTS.get(type(event), Weight.STATE),
        )
        dropped = self._buffer.dropped
        self._buffer.put(parcel)
        if self._buffer.dropped > dropped:
            metrics.messages_dropped.inc(self._buffer.dropped - dropped)
            log.warning("buffer_full", dropped=self._buffer.dropped - dropped)
        metrics.buffer_bytes.set(self._buffer.size_bytes)
        self._filled.set()

    def begin_snapshot(self) -> None:
        """Forget that state was lost: its replacement follows."""
        self._buffer.has_lost_state = False

    async def relay(self) -> None:
        """Send for ever."""
        while True:
            parcel = self._buffer.peek()
            if parcel is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                await self._bus.send(parcel)
            except BusUnavailableError as error:
                log.debug("send_waits", error=str(error))
                await self._clock.sleep(RETRY_SECONDS)
                continue
            except MessageTooLargeError as error:
                metrics.messages_dropped.inc()
                log.error("message_dropped", error=str(error))
            self._buffer.done(parcel)
            metrics.messages_sent.inc()
            metrics.buffer_bytes.set(self._buffer.size_bytes)

    async def drained(self, *, within_seconds: float) -> bool:
        """Wait until everything is sent; return False when it took too long."""
        deadline = asyncio.get_running_loop().time() + within_seconds
        while self._buffer.peek() is not None:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True
