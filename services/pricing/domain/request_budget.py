"""How many requests AWS may be asked for: a token bucket whose rate follows what AWS puts up with.

Additive increase, multiplicative decrease: a request that is throttled halves the rate, one that is answered
gives a little of it back. All values are pure; who waits, waits elsewhere.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

RECOVERY_SHARE = 1 / 200
"""Share of the full rate that one answered request gives back."""

HALVED_AT_MOST_EVERY = timedelta(seconds=1)
"""Requests that were on their way together are throttled together: that is one sign, not many."""

LEAST_SHARE = 1 / 64
"""Of the full rate: a budget that fell to nothing would never find out that AWS is well again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBudget:
    """What is left at `as_of`; negative tokens are promised to callers that wait."""

    full_rate: float
    """Requests a second while AWS does not complain."""
    burst: float
    rate: float
    tokens: float
    as_of: datetime
    halved_at: datetime | None = None


def full(*, rate: float, burst: float, now: datetime) -> RequestBudget:
    """Give a budget that nobody has used.

    Raises:
        ValueError: it would allow nothing.
    """
    if not (rate > 0 and burst >= 1):
        raise ValueError(f"a budget of {rate} requests a second and {burst} at once allows nothing")
    return RequestBudget(full_rate=rate, burst=burst, rate=rate, tokens=burst, as_of=now)


def taken(budget: RequestBudget, *, now: datetime) -> tuple[RequestBudget, timedelta]:
    """Take one request; give what is left, and how long its caller has to wait. First come, first served."""
    filled = _filled(budget, now)
    left = filled.tokens - 1
    wait = timedelta(seconds=max(-left, 0.0) / filled.rate)
    return replace(filled, tokens=left), wait


def throttled(budget: RequestBudget, *, now: datetime) -> RequestBudget:
    """Halve the rate, and let nobody use what was saved up."""
    filled = _filled(budget, now)
    if filled.halved_at is not None and now < filled.halved_at + HALVED_AT_MOST_EVERY:
        return filled
    rate = max(filled.rate / 2, filled.full_rate * LEAST_SHARE)
    return replace(filled, rate=rate, tokens=min(filled.tokens, 0.0), halved_at=now)


def answered(budget: RequestBudget, times: int = 1) -> RequestBudget:
    """Give back a little of the rate for each answer."""
    more = times * budget.full_rate * RECOVERY_SHARE
    return replace(budget, rate=min(budget.rate + more, budget.full_rate))


def _filled(budget: RequestBudget, now: datetime) -> RequestBudget:
    """Add what time brought; a clock that goes back brings nothing."""
    passed = max((now - budget.as_of).total_seconds(), 0.0)
    tokens = min(budget.tokens + passed * budget.rate, budget.burst)
    return replace(budget, tokens=tokens, as_of=max(now, budget.as_of))
