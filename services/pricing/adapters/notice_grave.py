"""Malformed notices among the dead letters of the bus, where `spotopt dlq list` shows them."""

from nats.errors import Error as NatsError

from services.pricing.ports import QueuedNotice
from shared.kernel.errors import UnavailableError
from shared.runtime import dead_letters
from shared.runtime.safe_mode import JetStreamSource

SUBJECT = "pricing.queue.notices"
"""No stream takes it: what is no notice cannot be replayed, only looked at and dropped."""

KEPT_BYTES = 64 * 1024


class GraveUnavailableError(UnavailableError):
    """The dead letters' stream does not answer."""


class BusNoticeGrave:
    """See ports.NoticeGrave."""

    def __init__(self, bus: JetStreamSource) -> None:
        self._bus = bus

    async def bury(self, notice: QueuedNotice, *, reason: str) -> None:
        """See the port."""
        try:
            await dead_letters.bury(
                self._bus.js,
                notice.body[:KEPT_BYTES].encode(errors="replace")[:KEPT_BYTES],
                subject=SUBJECT,
                consumer="pricing-notices",
                error=reason,
                key=notice.message_id,
            )
        except (NatsError, OSError) as error:
            raise GraveUnavailableError(f"burying a notice: {error!r}") from error
