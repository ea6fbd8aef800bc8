"""Pricing, asked for what offerings cost now."""

from collections.abc import Mapping, Sequence

from services.executor.domain.replacement import Quoted
from services.executor.errors import QuotesUnavailableError
from shared.contracts.v1.pricing import OfferingQuotes, QuoteOfferings
from shared.kernel.capacity import InstanceType
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError
from shared.kernel.ids import Ids
from shared.kernel.pool_flags import PoolFlag, PoolFlags
from shared.runtime.messaging import Bus

TIMEOUT_SECONDS = 3.0
"""Short: two minutes run already, and there is an answer without prices too."""


class BusQuotes:
    """See ports.Quotes."""

    def __init__(self, bus: Bus, *, clock: Clock, ids: Ids) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids

    async def quotes(self, region: str) -> tuple[Sequence[Quoted], Mapping[str, InstanceType]]:
        """See the port."""
        request = QuoteOfferings.make(scope=region, clock=self._clock, ids=self._ids)
        try:
            reply = await self._bus.ask(request, OfferingQuotes, timeout_seconds=TIMEOUT_SECONDS)
        except SpotError as error:
            raise QuotesUnavailableError(str(error)) from error
        flags = PoolFlags(
            (PoolFlag(f.pool, f.reason.value, f.raised_at, f.expires_at) for f in reply.flags),
            now=self._clock.now(),
        )
        return (
            [Quoted(q.pool, q.usd_per_hour, is_flagged=flags.is_own(q.pool)) for q in reply.quotes],
            {t.name: t for t in reply.instance_types},
        )
