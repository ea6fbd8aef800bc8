"""What is on offer and what is asked for, as rows of numbers."""

from dataclasses import dataclass, field

import numpy as np

from services.optimizer.domain.columns.problem import Limit
from services.optimizer.domain.packing.classes import Bools, Floats, Ints, NodeLimit


def _any_number() -> Ints:
    return np.zeros(0, dtype=np.int64)


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
    interruption_micro_usd: Ints = field(default_factory=_any_number)
    """Of each class: what one interruption of one pod is worth; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """One node to launch, and how many of each class it holds."""

    offer: int
    counts: Ints
