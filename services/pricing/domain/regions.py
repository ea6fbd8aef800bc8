"""Which regions are priced: the operator's always, and those in which some cluster runs.

A cluster's region is what a customer typed, so it is held against a pattern, and there is a limit: nobody makes us
poll names that they make up. Whose clusters they are is not kept.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class UsedRegion:
    """A region in which clusters were registered."""

    region: str
    first_used_at: datetime
    last_used_at: datetime
    """When a cluster was last registered there, or a plan last asked for its prices."""
    has_answered: bool
    """Whether EC2 ever told us what it offers there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is done with each region; each in one of them, by name."""

    priced: frozenset[str]
    resting: frozenset[str] = frozenset()
    """Nobody asked for so long that they are not polled; what is known of them stays."""
    left_out: frozenset[str] = frozenset()
    """In use, and over the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRules:
    """What an operator allows."""

    always: frozenset[str]
    allowed: str
    """A regular expression that the whole name must match."""
    most: int
    """How many are priced at most, unless the operator named more."""
    unused_after: timedelta

    def allows(self, region: str) -> bool:
        """Say whether a customer's region may be priced."""
        return region in self.always or re.fullmatch(self.allowed, region) is not None


def choose(used: Iterable[UsedRegion], *, rules: RegionRules, now: datetime) -> Choice:
    """Choose the regions to price, whatever the order of `used`.

    Those that answered go first, the longest in use before others, so that a newcomer takes nobody's place; of
    those that never answered the newest go first, so that a name without a region behind it holds no place for long.
    """
    others = [u for u in used if u.region not in rules.always and rules.allows(u.region)]
    recent = [u for u in others if u.last_used_at > now - rules.unused_after]
    answered = sorted((u for u in recent if u.has_answered), key=lambda u: (u.first_used_at, u.region))
    silent = sorted((u for u in recent if not u.has_answered), key=lambda u: u.region)
    silent.sort(key=lambda u: u.first_used_at, reverse=True)
    ranked = [u.region for u in (*answered, *silent)]
    room = max(rules.most - len(rules.always), 0)
    return Choice(
        priced=rules.always | frozenset(ranked[:room]),
        resting=frozenset(u.region for u in others) - frozenset(ranked),
        left_out=frozenset(ranked[room:]),
    )
