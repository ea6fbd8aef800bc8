"""Keep, count and tell what was not believed."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from services.pricing import metrics
from services.pricing.domain import refusals
from services.pricing.domain.refusals import RefusedRow
from services.pricing.ports import UnitOfWork

log = structlog.get_logger(__name__)

MOST_KEPT_OF_A_BATCH = 500
"""A source that is broken from end to end fills a metric, not our table."""


async def refuse_rows(
    rows: Sequence[RefusedRow], *, region: str, source: str, uow: UnitOfWork, now: datetime
) -> None:
    """Put rows into the quarantine, with their reason, in the transaction of the good ones."""
    if not rows:
        return
    uow.on_commit(lambda: _count(rows, region=region, source=source))
    await uow.sources.quarantine(region, source, rows[:MOST_KEPT_OF_A_BATCH], seen_at=now)


def _count(rows: Sequence[RefusedRow], *, region: str, source: str) -> None:
    counts = refusals.by_reason(rows)
    for reason, number in counts.items():
        metrics.rows_refused.labels(source, reason.value).inc(number)
    log.warning(
        "rows_refused",
        region=region,
        source=source,
        reasons={reason.value: number for reason, number in counts.items()},
        first=rows[0].row,
    )
