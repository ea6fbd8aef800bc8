"""Which rows of a source to believe. One bad row spoils no good one, and none goes without a reason."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.refusals import RefusalReason, RefusedRow
from shared.kernel.pools import PoolKey

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far ahead of our clock a price may be dated before we refuse it."""

HIGHEST_USD_PER_HOUR = Decimal(10_000)
"""No EC2 instance costs more; a larger number is a broken row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a row is held against; None: that is not asked."""

    now: datetime
    kept_since: datetime | None = None
    """History before then is not kept, not even as days."""
    instance_types: Collection[str] | None = None
    zone_ids: Collection[str] | None = None


def refusal_of(point: PricePoint, known: Known) -> RefusalReason | None:
    """Say why a point must not be believed, or None."""
    usd = point.usd_per_hour
    reason = None
    if not usd.is_finite():
        reason = RefusalReason.NOT_A_NUMBER
    elif usd <= 0:
        reason = RefusalReason.NOT_POSITIVE
    elif usd > HIGHEST_USD_PER_HOUR:
        reason = RefusalReason.TOO_HIGH
    elif point.effective_at > known.now + FUTURE_TOLERANCE:
        reason = RefusalReason.IN_FUTURE
    elif known.kept_since is not None and point.effective_at < known.kept_since:
        reason = RefusalReason.TOO_OLD
    elif known.zone_ids is not None and point.pool.zone_id not in known.zone_ids:
        reason = RefusalReason.UNKNOWN_ZONE
    elif known.instance_types is not None and point.pool.instance_type not in known.instance_types:
        reason = RefusalReason.UNKNOWN_TYPE
    return reason


def sift(points: Iterable[PricePoint], known: Known) -> tuple[list[PricePoint], list[RefusedRow]]:
    """Part the believable points from the others, whatever their order; the good keep the order they came in.

    Of two rows that say different prices of one pool at one instant the dearer is kept: the error that costs
    nobody anything.
    """
    good: dict[tuple[PoolKey, datetime], PricePoint] = {}
    bad: list[RefusedRow] = []
    for point in points:
        reason = refusal_of(point, known)
        key = (point.pool, point.effective_at)
        held = good.get(key) if reason is None else None
        if reason is not None:
            bad.append(_refused(reason, point))
        elif held is None:
            good[key] = point
        elif held.usd_per_hour == point.usd_per_hour:
            bad.append(_refused(RefusalReason.DUPLICATE, point))
        else:
            dearer, cheaper = sorted((held, point), key=lambda p: p.usd_per_hour, reverse=True)
            good[key] = dearer
            bad.append(_refused(RefusalReason.CONTRADICTED, cheaper))
    return list(good.values()), bad


def _refused(reason: RefusalReason, point: PricePoint) -> RefusedRow:
    """Name the row without its instant: the same fault, polled again and again, is one row of the quarantine."""
    pool = point.pool
    return RefusedRow.of(
        reason, f"{pool.instance_type} {pool.zone_id} {pool.capacity_type}: {point.usd_per_hour}"
    )
