"""What is on offer and what is asked for, as rows of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.packing.classes import Bools, Floats, Ints, NodeLimit


@dataclass(frozen=True, slots=True)
class Supply:
    """What can be launched: a row an offer."""

    room: Ints
    """Free for pods, daemons taken off."""
    micro_usd: Ints
    risk_micro_usd: Floats
    """Expected cost of interruptions per pod and hour."""
    is_spot: Bools

    def only(self, rows: Sequence[int]) -> "Supply":
        """Give the numbers of some of the offers."""
        at = np.array(rows, dtype=np.int64)
        return Supply(self.room[at], self.micro_usd[at], self.risk_micro_usd[at], self.is_spot[at])


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


@dataclass(frozen=True, slots=True)
class Load:
    """One node to launch, and how many of each class it holds."""

    offer: int
    counts: Ints
