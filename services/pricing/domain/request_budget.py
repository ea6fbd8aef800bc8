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
class Allowance:
    """What AWS may be asked while it does not complain; replicas of two releases may have two.

    Raises:
        ValueError: it would allow nothing.
    """

    rate: float
    """Requests a second."""
    burst: float

    def __post_init__(self) -> None:
        """Refuse what nobody could ever ask with."""
        if not (self.rate > 0 and self.burst >= 1):
            raise ValueError(
                f"a budget of {self.rate} requests a second and {self.burst} at once allows nothing"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBudget:
    """What is left at `as_of`; negative tokens are promised to callers that wait."""

    rate: float
    tokens: float
    as_of: datetime
    halved_at: datetime | None = None


def within(held: RequestBudget | None, allowance: Allowance, *, now: datetime) -> RequestBudget:
    """Give a budget as this allowance bounds it; a full one where nobody has used it yet."""
    if held is None:
        return RequestBudget(rate=allowance.rate, tokens=allowance.burst, as_of=now)
    return replace(held, rate=min(held.rate, allowance.rate))


def taken(budget: RequestBudget, allowance: Allowance, *, now: datetime) -> tuple[RequestBudget, timedelta]:
    """Take one request; give what is left, and how long its caller has to wait. First come, first served."""
    filled = _filled(budget, allowance, now)
    left = filled.tokens - 1
    wait = timedelta(seconds=max(-left, 0.0) / filled.rate)
    return replace(filled, tokens=left), wait


def throttled(budget: RequestBudget, allowance: Allowance, *, now: datetime) -> RequestBudget:
    """Halve the rate, and let nobody use what was saved up."""
    filled = _filled(budget, allowance, now)
    if filled.halved_at is not None and now < filled.halved_at + HALVED_AT_MOST_EVERY:
        return filled
    rate = max(filled.rate / 2, allowance.rate * LEAST_SHARE)
    return replace(filled, rate=rate, tokens=min(filled.tokens, 0.0), halved_at=now)


def answered(budget: RequestBudget, allowance: Allowance, times: int = 1) -> RequestBudget:
    """Give back a little of the rate for each answer."""
    more = times * allowance.rate * RECOVERY_SHARE
    return replace(budget, rate=min(budget.rate + more, allowance.rate))


def _filled(budget: RequestBudget, allowance: Allowance, now: datetime) -> RequestBudget:
    """Add what time brought; a clock that goes back brings nothing."""
    passed = max((now - budget.as_of).total_seconds(), 0.0)
    tokens = min(budget.tokens + passed * budget.rate, allowance.burst)
    return replace(budget, tokens=tokens, as_of=max(now, budget.as_of))
