"""What the optimizer asks others over the bus."""

from datetime import datetime, timedelta

from services.optimizer.errors import MarketUnavailableError
from shared.contracts.v1.agent import RequestResync
from shared.contracts.v1.pricing import FlagReason, LiveFlag, OfferingQuotes, QuoteOfferings
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError
from shared.kernel.ids import Ids
from shared.runtime.flag_board import FlagBoard
from shared.runtime.messaging import Bus


class BusQuotes:
    """Asks pricing, and shares one answer among the clusters of a region for a few seconds.

    Flags raised since are added to a shared answer: they come within moments, and must not wait for the next.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        flags: FlagBoard,
        clock: Clock,
        ids: Ids,
        timeout_seconds: float,
        fresh_for: timedelta,
    ) -> None:
        self._bus = bus
        self._flags = flags
        self._clock = clock
        self._ids = ids
        self._timeout_seconds = timeout_seconds
        self._fresh_for = fresh_for
        self._held: dict[str, tuple[datetime, OfferingQuotes]] = {}

    async def quotes(self, region: str) -> OfferingQuotes:
        """See ports.Quotes."""
        now = self._clock.now()
        held = self._held.get(region)
        if held is not None and now - held[0] < self._fresh_for:
            return self._flagged(held[1])
        request = QuoteOfferings.make(scope=region, clock=self._clock, ids=self._ids)
        try:
            answer = await self._bus.ask(request, OfferingQuotes, timeout_seconds=self._timeout_seconds)
        except SpotError as error:
            raise MarketUnavailableError(f"pricing does not answer: {error}") from error
        if not answer.quotes:
            raise MarketUnavailableError(f"pricing knows no price in {region} yet.")
        self._held[region] = (now, answer)
        return self._flagged(answer)

    def _flagged(self, answer: OfferingQuotes) -> OfferingQuotes:
        newest = {flag.pool: flag for flag in answer.flags}
        for flag in self._flags.live(answer.region):
            known = newest.get(flag.pool)
            if known is None or known.raised_at < flag.raised_at:
                newest[flag.pool] = LiveFlag(
                    pool=flag.pool,
                    reason=FlagReason(flag.reason),
                    raised_at=flag.raised_at,
                    expires_at=flag.expires_at,
                )
        return answer.model_copy(update={"flags": tuple(newest[pool] for pool in sorted(newest))})


class BusAgents:
    """See ports.Agents."""

    def __init__(self, bus: Bus, *, clock: Clock, ids: Ids) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids

    async def ask_for_snapshot(self, cluster_id: str, *, reason: str) -> None:
        """See the port."""
        message = RequestResync.make(scope=cluster_id, clock=self._clock, ids=self._ids, reason=reason)
        await self._bus.tell(message)
