"""What a fleet is judged by: price, risk, and what its pods would rather have, in one sum.

    objective [USD/h] = sum over nodes of  price
                      + risk of the pods on spot nodes, weighted (interruption_cost)
                      + what pods cost on nodes that do not meet their preferences (preferences)

Each part of a pod is a whole number of micro-dollars and depends on its node alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from services.optimizer.domain import interruption_cost, preferences
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.rules import Objective
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.workload import Node, Pod


class Standing(Protocol):
    """A node of a fleet, as far as the objective looks at it."""

    @property
    def node(self) -> Node: ...

    @property
    def offer(self) -> Offer | None: ...

    @property
    def movable(self) -> tuple[Pod, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The objective of a fleet and its parts, in micro-dollars an hour; nodes without a known price left out."""

    objective: Objective
    risk_weight: int
    price: int
    risk: int
    """Weighted."""
    preferences: int
    assumed_pools: tuple[str, ...]
    """Spot pools whose chance was assumed, since nobody has an estimate."""

    @property
    def total(self) -> int:
        """Give the objective."""
        return self.price + self.risk + self.preferences


def breakdown(nodes: Iterable[Standing], judge: SpotJudge) -> Breakdown:
    """Give the objective of a fleet with all its parts: nothing of it is hidden."""
    price = risk = wishes = 0
    assumed: set[str] = set()
    for node in nodes:
        if node.offer is None:
            continue
        price += node.offer.micro_usd
        risk += interruption_cost.node_micro_usd(node.offer, node.movable, judge)
        wishes += preferences.node_micro_usd(node.node, node.movable, judge.rules)
        if node.offer.is_spot and node.offer.interruption_probability is None:
            assumed.add(str(node.offer.pool))
    rules = judge.rules
    return Breakdown(
        objective=rules.objective,
        risk_weight=rules.risk_weight,
        price=price,
        risk=risk,
        preferences=wishes,
        assumed_pools=tuple(sorted(assumed)),
    )


def beside_price(node: Node, offer: Offer | None, pods: Iterable[Pod], judge: SpotJudge) -> int:
    """Give what pods on a node add to the objective beside its price; 0 where no price is known either."""
    if offer is None:
        return 0
    held = tuple(pods)
    return interruption_cost.node_micro_usd(offer, held, judge) + preferences.node_micro_usd(
        node, held, judge.rules
    )
