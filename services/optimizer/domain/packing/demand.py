"""What is on offer and what is asked for, as rows of numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from services.optimizer.domain.columns.problem import Limit
from services.optimizer.domain.packing.classes import Bools, Floats, Ints, NodeLimit


def _any_number() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _no_costs() -> Ints:
    return np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Supply:
    """What can be launched: a row an offer."""

    room: Ints
    """Free for pods, daemons taken off."""
    micro_usd: Ints
    chance: Floats
    """Probability of an interruption within the hour, times the weight that the policy gives risk."""
    is_spot: Bools
    copies: Ints = field(default_factory=_any_number)
    """How many nodes there may be of each; empty: any number."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Pods to be spread over zones with others that are counted with them; none of either is anywhere yet."""

    own: tuple[int, ...]
    """Classes whose pods must be spread."""
    others: tuple[int, ...]
    """Classes whose pods are only counted."""
    max_skew: int
    zones: tuple[int, ...]
    """Over which: all where such pods may be."""


@dataclass(frozen=True, slots=True)
class Level:
    """How many pods a zone may hold of those that one spread is about."""

    own: tuple[int, ...]
    """Classes that are to be spread."""
    others: tuple[int, ...]
    most_own: Ints
    """Per zone, of pods that are to be spread."""
    most: Ints
    """Per zone, of all that are counted."""
    least: Ints
    """Per zone, of all that are counted."""
    family: tuple[tuple[int, ...], bool]
    """Levels of one family are held by the solver together: over which zones, and whether others are counted."""

    pile: int | None = None
    """The zone for those that are only counted, if there is one."""

    def renumbered(self, at: Mapping[int, int]) -> "Level":
        """Give the same for classes that are numbered otherwise."""
        own, others = (tuple(at[c] for c in classes) for classes in (self.own, self.others))
        return replace(self, own=own, others=others)


@dataclass(frozen=True, slots=True)
class Demand:
    """What must run: a row a class."""

    requests: Ints
    counts: Ints
    allowed: Bools
    """Offer x class."""
    per_spot_pool: Ints
    """How many pods of the class's workload one spot pool may hold."""
    workload: Ints
    """Index of the controller that a limit per spot pool is shared within; -1: none."""
    node_limits: tuple[tuple[NodeLimit, ...], ...]
    """Of each class: those its pods hold themselves."""
    counted: tuple[tuple[NodeLimit, ...], ...]
    """Of each class: those of others that count its pods; they bind where one of those others is."""
    used: Ints
    """Offer x workload: replicas that stand in the offer's pool already."""
    shares: tuple[Limit, ...] = ()
    """What groups of offers may hold together, by weights of classes."""
    zone: Ints = field(default_factory=_any_number)
    """Of each offer: the number of its zone; needed where there are levels."""
    levels: tuple[Level, ...] = ()
    interruption_micro_usd: Ints = field(default_factory=_any_number)
    """Of each class: what one interruption of one pod is worth; empty: nothing."""
    preference_micro_usd: Ints = field(default_factory=_no_costs)
    """Offer x class: what a pod costs there an hour since it would rather be elsewhere; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """One node to launch, and how many of each class it holds."""

    offer: int
    counts: Ints
