"""Which type would hold a pod but for one rule: a hint that is worth following, since nothing else is in the way."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from services.optimizer.domain import selection
from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.packing.grouping import needs_devices
from services.optimizer.domain.rules import PlanRules, Template
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources
from shared.kernel.scheduling import daemon_pods_for, static_reasons
from shared.kernel.scheduling.shapes import place_key
from shared.kernel.workload import Node, Pod, Workload

MOST_HINTS = 3

ReasonsAgainst = Callable[[Pod, Node, Sequence[Pod]], Sequence[str]]
"""Everything that speaks against a pod on a node with its daemons, in the cluster as it is."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type that one rule forbids, with the offers of it, cheapest first."""

    why: str
    name: str
    room: Resources
    """At most what its nodes have for pods."""
    nodes: list[Node]
    """That the offers would become."""


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """The offers that exactly one rule forbids."""

    market: Market
    rules: PlanRules
    template: Template
    daemon_sets: tuple[Workload, ...]
    # Many pods that find no place differ in size only: where they may be is asked once.
    _permitted: dict[Hashable, list[_Kind]] = field(init=False, default_factory=dict, repr=False)

    def hints(self, pod: Pod, *, may_use_spot: bool, reasons_against: ReasonsAgainst) -> list[str]:
        """Name the cheapest type that would take the pod, for each rule that alone forbids such types."""
        found: dict[str, str] = {}
        for kind in self._permitting(pod, may_use_spot=may_use_spot):
            if len(found) == MOST_HINTS:
                break
            if kind.why in found or not pod.requests.fits_in(kind.room):
                continue
            if kind.room.extended and not needs_devices(pod.requests):
                continue
            if any(self._would_take(node, pod, reasons_against) for node in kind.nodes):
                found[kind.why] = f"{kind.name} could hold it, but {kind.why}"
        return list(found.values())

    def _permitting(self, pod: Pod, *, may_use_spot: bool) -> list[_Kind]:
        """Give the types with nodes on which labels and taints let the pod be."""
        key = (place_key(pod), may_use_spot)
        if key not in self._permitted:
            narrowed = [
                replace(kind, nodes=[n for n in kind.nodes if _permits(n, pod, may_use_spot=may_use_spot)])
                for kind in self._kinds
            ]
            self._permitted[key] = [kind for kind in narrowed if kind.nodes]
        return self._permitted[key]

    @cached_property
    def _kinds(self) -> Sequence[_Kind]:
        found: dict[tuple[str, str], _Kind] = {}
        for offer in sorted(self.market.prices().values(), key=lambda o: (o.micro_usd, o.pool)):
            instance_type = self.market.instance_types.get(offer.pool.instance_type)
            if instance_type is None:
                continue
            against = list(selection.objections(offer, instance_type, self.rules, self.template))
            if len(against) != 1:
                continue
            node, why = self._node(offer), against[0].text
            kind = found.setdefault(
                (why, instance_type.name), _Kind(why, instance_type.name, node.allocatable, [])
            )
            kind.nodes.append(node)
        return tuple(found.values())

    def _would_take(self, node: Node, pod: Pod, reasons_against: ReasonsAgainst) -> bool:
        return not reasons_against(pod, node, daemon_pods_for(node, self.daemon_sets))

    def _node(self, offer: Offer) -> Node:
        instance_type = self.market.instance_types[offer.pool.instance_type]
        architectures = instance_type.architectures
        named = [a for a in architectures if a in self.rules.architectures] or list(architectures)
        return candidate_node(
            instance_type,
            offer.pool,
            name="forbidden",
            architecture=named[0] if named else "unknown",
            template=self.template,
            memory_overhead_ratio=self.market.memory_corrections.get(instance_type.name),
        )


def _permits(node: Node, pod: Pod, *, may_use_spot: bool) -> bool:
    return (may_use_spot or node.capacity_type is not CapacityType.SPOT) and not static_reasons(pod, node)
