"""What a change costs once, set against what it saves every hour.

Pods that move start cold, and a launched node is paid for while it boots and while what it replaces drains.
Spread over the time within which a change must pay for itself, that is an amount an hour, and can be compared with
prices: a fleet that is cheaper by less is not worth moving to.
"""

from collections.abc import Iterable

from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import MICRO
from services.optimizer.domain.rules import PlanRules

SECONDS_PER_HOUR = 3600


def charge(drained: Iterable[StandingNode], launched: Iterable[StandingNode], rules: PlanRules) -> int:
    """Give what a change costs once, in micro-dollars."""
    moved = sum(len(n.movable) for n in drained)
    overlap = sum(n.micro_usd for n in launched) * rules.overlap_seconds // SECONDS_PER_HOUR
    return round(moved * rules.usd_per_moved_pod * MICRO) + overlap


def hourly(once: int, rules: PlanRules) -> int:
    """Give what a change must save an hour to pay for itself in time, in micro-dollars."""
    return -(-once * SECONDS_PER_HOUR // max(rules.payback_seconds, 1))
