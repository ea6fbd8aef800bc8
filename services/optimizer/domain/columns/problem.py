"""What the solver is asked and what it answers, as numbers only."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints

UNBOUNDED = np.iinfo(np.int64).max // 4
"""Of copies, and of pods per node: no limit."""


def _no_limits() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _no_costs() -> Ints:
    return np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """For each group of offers: the pods on all its nodes together, weighted, are at most so much.

    Replicas of a workload per spot pool: weights 1 on its shapes, a group per pool, -1 for what is not spot.
    A workload over zones with a skew: weights 1, a group per zone. A share of the cluster: weights in millicores.
    """

    weights: Ints
    """Per shape: what one pod counts; 0: the limit is not about it."""
    group: Ints
    """Per offer: which group it is in; -1: not limited. Limits that group alike should share the array."""
    at_most: Ints
    """Per group. A caller that wants what runs to be kept allows at least that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProblem:
    """Pods by shape, and the nodes that may be had for them.

    A node that runs already is an offer with one copy, at what keeping it costs. Pods that stay when it is kept
    are its own: its price is then what giving it up saves, the moves of its pods taken off.
    """

    requests: Ints
    """Shape x resource: what one pod takes."""
    counts: Ints
    """Per shape: how many pods."""
    room: Ints
    """Offer x resource: what a node has for pods, daemons taken off."""
    micro_usd: Ints
    """Per offer: price of a node an hour."""
    allowed: Bools
    """Offer x shape: whether such a pod may run on such a node."""
    per_node: Ints = field(default_factory=_no_limits)
    """Per shape: how many one node may hold; empty: any number."""
    copies: Ints = field(default_factory=_no_limits)
    """Per offer: how many nodes there may be; empty: any number."""
    pod_micro_usd: Ints = field(default_factory=_no_costs)
    """Offer x shape: what running one pod there costs beside the node, such as risk; empty: nothing."""
    own: Ints = field(default_factory=_no_costs)
    """Offer x shape: pods that each copy of a limited offer holds already, part of `counts`; empty: none.

    They stay with the node when it is chosen, `allowed` or not, else they are placed like all others. `room` is
    what is left beside them; `per_node`, `pod_micro_usd` and limits count them too.
    """
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        shapes, offers = len(self.counts), len(self.micro_usd)
        resources = self.requests.shape[1] if self.requests.ndim == 2 else -1
        wanted: dict[str, tuple[int, ...]] = {
            "requests": (shapes, resources),
            "room": (offers, resources),
            "allowed": (offers, shapes),
        }
        if self.per_node.size:
            wanted["per_node"] = (shapes,)
        if self.copies.size:
            wanted["copies"] = (offers,)
        if self.pod_micro_usd.size:
            wanted["pod_micro_usd"] = (offers, shapes)
        if self.own.size:
            wanted["own"] = (offers, shapes)
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} is {getattr(self, name).shape}, not {shape}")
        names = ("requests", "counts", "room", "micro_usd", "per_node", "copies", "pod_micro_usd", "own")
        for name in names:
            values = getattr(self, name)
            if values.size and int(values.min()) < 0:
                raise ValueError(f"{name} holds {int(values.min())}")
        self._check_own()
        for limit in self.limits:
            _check(limit, shapes, offers)

    def _check_own(self) -> None:
        owners = np.flatnonzero(self.own.any(axis=1)) if self.own.size else np.zeros(0, dtype=np.int64)
        if not len(owners):
            return
        if not self.copies.size or int(self.copies[owners].max()) >= UNBOUNDED:
            raise ValueError("own holds pods of an offer without a number of copies")
        over = np.flatnonzero(self.copies[owners] @ self.own[owners] > self.counts)
        if len(over):
            raise ValueError(f"own holds more pods of shape {int(over[0])} than counts")


def _check(limit: Limit, shapes: int, offers: int) -> None:
    if limit.weights.shape != (shapes,) or limit.group.shape != (offers,) or limit.at_most.ndim != 1:
        raise ValueError(f"a limit is {limit.weights.shape}, {limit.group.shape}, {limit.at_most.shape}")
    if (limit.weights < 0).any() or (limit.at_most < 0).any():
        raise ValueError("a limit holds a negative weight or amount")
    if ((limit.group < -1) | (limit.group >= len(limit.at_most))).any():
        raise ValueError(f"a limit of {len(limit.at_most)} groups has an offer in another")


class Ending(StrEnum):
    """Why the search for a better fleet or bound ended."""

    CONVERGED = "converged"
    """No node can lower the relaxation any more, to within the tolerance."""
    BUDGET = "budget"
    """The rounds allowed were used up, many of them changed next to nothing, or the bound was near enough."""
    STOPPED = "stopped"
    """The caller said so; another run may end elsewhere."""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node: which offer, and how many pods of each shape, the offer's own among them."""

    offer: int
    counts: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSolution:
    """A fleet, and what no fleet can undercut."""

    nodes: tuple[PlannedNode, ...]
    unplaced: Ints
    """Per shape: pods that no node has room for, or that limited copies or limits leave out."""
    micro_usd: int
    """Of the nodes and of what their pods cost there."""
    lower_bound_micro_usd: int
    """What any fleet costs that leaves no pod out but those left out here."""
    rounds: int
    """Of pricing, until the bound."""
    ended_by: Ending

    @property
    def gap_ratio(self) -> float:
        """How far the fleet is from the bound at most."""
        if self.lower_bound_micro_usd <= 0:
            return 0.0 if self.micro_usd <= 0 else float("inf")
        return max(self.micro_usd / self.lower_bound_micro_usd - 1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to look; a run that ends by these is repeatable."""

    rounds: int = 400
    """Of pricing for the bound."""
    tolerance_ratio: float = 5e-4
    """The relaxation is solved when it is this near to its bound."""
    many_shapes: int = 200
    """From so many shapes on twice the tolerance is enough: rounding loses more than that."""
    search_steps: int = 400_000
    """Of one knapsack."""
    dive_rounds: int = 4
    """Of pricing after each step of rounding; one where there are many shapes."""
    improvements: int = 40
    """Attempts to rebuild the worst part of the fleet."""
    proves: bool = True
    """Whether the bound matters. Without, generating ends when it lowers the relaxation by next to nothing."""

    def tolerance(self, nano_usd: int, shapes: int) -> int:
        """Give how far from its bound a relaxation of that value may be."""
        ratio = self.tolerance_ratio * (2 if shapes >= self.many_shapes else 1)
        return int(nano_usd * ratio)
