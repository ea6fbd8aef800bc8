"""Which type would hold a pod but for one rule: a hint that is worth following, since nothing else is in the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.optimizer.domain import selection
from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.packing.grouping import needs_devices
from services.optimizer.domain.rules import PlanRules, Template
from shared.kernel.resources import Resources
from shared.kernel.scheduling import daemon_pods_for
from shared.kernel.workload import Node, Pod, Workload

MOST_HINTS = 3

ReasonsAgainst = Callable[[Pod, Node, Sequence[Pod]], Sequence[str]]
"""Everything that speaks against a pod on a node with its daemons, in the cluster as it is."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type that one rule forbids, with the offers of it, cheapest first."""

    why: str
    room: Resources
    """At most what its nodes have for pods."""
    offers: list[Offer]


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """The offers that exactly one rule forbids."""

    market: Market
    rules: PlanRules
    template: Template
    daemon_sets: tuple[Workload, ...]

    def hints(self, pod: Pod, *, may_use_spot: bool, reasons_against: ReasonsAgainst) -> list[str]:
        """Name the cheapest type that would take the pod, for each rule that alone forbids such types."""
        found: dict[str, str] = {}
        for kind in self._kinds:
            if len(found) == MOST_HINTS:
                break
            if kind.why in found or not pod.requests.fits_in(kind.room):
                continue
            if kind.room.extended and not needs_devices(pod.requests):
                continue
            offers = (o for o in kind.offers if may_use_spot or not o.is_spot)
            if any(self._would_take(offer, pod, reasons_against) for offer in offers):
                name = kind.offers[0].pool.instance_type
                found[kind.why] = f"{name} could hold it, but {kind.why}"
        return list(found.values())

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
            why = against[0].text
            key = (why, instance_type.name)
            if key not in found:
                room = self._node(offer).allocatable
                found[key] = _Kind(why, room, [])
            found[key].offers.append(offer)
        return tuple(found.values())

    def _would_take(self, offer: Offer, pod: Pod, reasons_against: ReasonsAgainst) -> bool:
        node = self._node(offer)
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
