"""Make room for the months to come, fold old months into days, and forget what is too old."""

from datetime import timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import price_history
from services.pricing.ports import UnitOfWorkFactory
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

MONTHS_AHEAD = 3
"""So many that the job may fail for weeks before a price finds no place."""


async def keep_price_history(
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    events_kept: timedelta,
    days_kept: timedelta,
    quarantined_rows: int,
) -> int:
    """Bring the months into order; return how many events were folded into days.

    Each month is a transaction of its own: what is done stays done when a later one is in use.

    Raises:
        HistoryBusyError: a month is in use.
    """
    now = clock.now()
    async with unit_of_work() as uow:
        await uow.history.ensure_months(price_history.months_ahead(now, count=MONTHS_AHEAD))
        to_fold = price_history.over_since(await uow.history.event_months(), now=now, kept=events_kept)
        to_drop = price_history.over_since(await uow.history.day_months(), now=now, kept=days_kept)
        forgotten = await uow.sources.trim_quarantine(keep=quarantined_rows)
    folded = 0
    for month in to_fold:
        async with unit_of_work() as uow:
            folded += await uow.history.fold_month(month)
    for month in to_drop:
        async with unit_of_work() as uow:
            await uow.history.drop_month(month)
    metrics.price_events_folded.inc(folded)
    log.info(
        "price_history_kept",
        folded_months=len(to_fold),
        folded_events=folded,
        dropped_months=len(to_drop),
        forgotten_refusals=forgotten,
    )
    return folded
