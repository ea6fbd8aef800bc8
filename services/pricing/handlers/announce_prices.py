"""Tell of prices that changed, in numbered batches, and keep the table from which a listener catches up."""

from collections.abc import Collection, Sequence
from datetime import datetime

from services.pricing.domain.offerings import PricePoint
from services.pricing.ports import PriceTables, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.price_table import PriceTable
from shared.contracts.v1.pricing import LARGEST_BATCH, OfferingPrice, OfferingPricesChanged
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import PoolKey


async def announce_prices(
    moved: Sequence[PricePoint],
    *,
    gone: Collection[PoolKey] = (),
    region: str,
    as_of: datetime,
    uow: UnitOfWork,
    clock: Clock,
    ids: Ids,
) -> None:
    """Tell what changed, and nothing else, in the transaction that stored it."""
    changes: list[PricePoint | PoolKey] = [*moved, *sorted(gone)]
    batches = [changes[start : start + LARGEST_BATCH] for start in range(0, len(changes), LARGEST_BATCH)]
    if not batches:
        return
    last = await uow.announcements.advance(region, by=len(batches))
    for sequence, batch in enumerate(batches, start=last - len(batches) + 1):
        event = OfferingPricesChanged.make(
            scope=region,
            clock=clock,
            ids=ids,
            sequence=sequence,
            as_of=as_of,
            prices=tuple(
                OfferingPrice(pool=p.pool, usd_per_hour=p.usd_per_hour, effective_at=p.effective_at)
                for p in batch
                if isinstance(p, PricePoint)
            ),
            gone=tuple(p for p in batch if isinstance(p, PoolKey)),
        )
        await uow.outbox.add(event)


async def keep_price_table(
    region: str, *, written: int | None, tables: PriceTables, unit_of_work: UnitOfWorkFactory, clock: Clock
) -> int:
    """Write a region's table if something was told since `written`; return the number of its last event."""
    async with unit_of_work() as uow:
        # Whoever tells of prices waits for us, so that the prices are those of exactly this number.
        sequence = await uow.announcements.hold(region)
        if sequence == written:
            return sequence
        known = await uow.offerings.known(region)
        as_of = clock.now()
    await tables.put(
        PriceTable.of(
            region=region,
            sequence=sequence,
            as_of=as_of,
            prices=[(p.pool, p.usd_per_hour, p.effective_at) for p in known.values()],
        )
    )
    return sequence
