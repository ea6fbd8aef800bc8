"""What a change costs once, set against what it saves every hour.

    charge [USD] = pods that move x usd_per_moved_pod
                 + sum over launched nodes of price x overlap_seconds / 3600
                 + sum over drained nodes of  price x (rounds of eviction - 1) x restart_seconds / 3600
                 + sum over drained nodes of  price x overlap_seconds / 3600 x max(0, 1 - age / payback_seconds)

Pods that move start cold, and a launched node is paid for while it boots and while what it replaces drains. That
overlap is for a drain in one round: where disruption budgets let pods go only in several, the node that drains is
paid for longer by a restart of each further round (evictions). And a launch was made to earn its overlap within
payback_seconds: a node that is given up before has yet to earn the rest of it, so that what comes in its place must. A
node of unknown age is taken for new, since no charge would be the bold guess.

Spread over the time within which a change must pay for itself, the charge is an amount an hour, and can be compared
with prices: a fleet that is cheaper by less is not worth moving to. It is a sum over nodes: what is asked of a node
alone (keeping, thinning) and of a whole change (consolidation, moving) is the same.
"""

from collections.abc import Iterable
from typing import TypeVar

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import MICRO
from services.optimizer.domain.rules import PlanRules

SECONDS_PER_HOUR = 3600

Amount = TypeVar("Amount", int, Ints)


def charge(drained: Iterable[StandingNode], launched: Iterable[StandingNode], rules: PlanRules) -> int:
    """Give what a change costs once, in micro-dollars."""
    return sum(_given_up(n, rules) for n in drained) + sum(overlap(n.micro_usd, rules) for n in launched)


def overlap(micro_usd: Amount, rules: PlanRules) -> Amount:
    """Give what a launch at that price costs beside what it replaces, in micro-dollars."""
    return micro_usd * rules.overlap_seconds // SECONDS_PER_HOUR


def hourly(once: Amount, rules: PlanRules) -> Amount:
    """Give what a change must save an hour to pay for itself in time, in micro-dollars."""
    return -(-once * SECONDS_PER_HOUR // max(rules.payback_seconds, 1))


def _given_up(node: StandingNode, rules: PlanRules) -> int:
    pods = node.movable
    moved = len(pods) * round(rules.usd_per_moved_pod * MICRO)
    if node.offer is None:
        return moved
    waits = max(node.slack.rounds(pods) - 1, 0) * rules.restart_seconds
    return moved + node.micro_usd * waits // SECONDS_PER_HOUR + _unearned(node, rules)


def _unearned(node: StandingNode, rules: PlanRules) -> int:
    """Give what of a node's own launch is not earned yet: all of it at first, nothing after the time to pay back."""
    age = max(node.age_seconds or 0, 0)
    left = max(rules.payback_seconds - age, 0)
    return overlap(node.micro_usd, rules) * left // max(rules.payback_seconds, 1)
