"""Keep what pools cost by when it took effect."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.reporting.domain.ledger import PricePoint, price_at
from services.reporting.ports import PriceSource, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.pricing import OfferingPricesChanged
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What this process has heard of each region's prices so far."""

    sequences: dict[str, int] = field(default_factory=dict)
    read_at: dict[str, datetime] = field(default_factory=dict)
    """When the region's table was last read; a region that is not here is read at the next turn."""
    missed: dict[str, int] = field(default_factory=dict)
    """The last event of a region that is missing: a table that is older does not hold what it said."""

    def note(self, region: str, sequence: int) -> bool:
        """Note the number of an event; return whether events before it are missing."""
        last = self.sequences.get(region)
        self.sequences[region] = max(sequence, last or 0)
        is_gap = last is not None and sequence > last + 1
        if is_gap:
            self.missed[region] = sequence - 1
        return is_gap

    def note_table(self, region: str, sequence: int, *, at: datetime) -> None:
        """Note that a table was read that holds the events up to `sequence`."""
        self.sequences[region] = max(sequence, self.sequences.get(region, 0))
        if sequence >= self.missed.get(region, 0):
            self.missed.pop(region, None)
            self.read_at[region] = at


async def keep_prices(message: OfferingPricesChanged, *, uow: UnitOfWork, heard: Heard) -> None:
    """Keep the prices of an event; when events before it are gone, the region's table is read soon."""
    points = [(p.pool, PricePoint(p.effective_at, p.usd_per_hour)) for p in message.prices]
    await uow.prices.add(points)
    if heard.note(message.scope, message.sequence):
        log.warning("price_events_missed", region=message.scope, sequence=message.sequence)
        heard.read_at.pop(message.scope, None)


async def read_prices(
    *,
    unit_of_work: UnitOfWorkFactory,
    source: PriceSource,
    clock: Clock,
    heard: Heard,
    read_again_after: timedelta,
) -> int:
    """Read the tables of our clusters' regions; return how many prices were new to us.

    Events older than their stream are gone, so a service that starts late learns the prices in force this way.
    A region that was read is read again after a while; one that is new, or has no table yet, at the next turn.
    """
    async with unit_of_work() as uow:
        regions = sorted({cluster.region for cluster in await uow.clusters.clusters()})
    added = 0
    for region in regions:
        if region in heard.read_at and clock.now() - heard.read_at[region] < read_again_after:
            continue
        try:
            table = await source.prices(region)
        except SpotError as error:
            log.warning("prices_not_learned", region=region, error=str(error))
            continue
        if table is None:
            continue
        sequence, points = table
        heard.note_table(region, sequence, at=clock.now())
        async with unit_of_work() as uow:
            now = clock.now()
            known = await uow.prices.between({pool for pool, _ in points}, now, now)
            new = await uow.prices.add(
                [
                    (pool, point)
                    for pool, point in points
                    if price_at(known.get(pool, ()), now) != point.usd_per_hour
                ]
            )
        added += new
        log.info("price_table_read", region=region, sequence=sequence, added=new)
    return added
