"""Where policy lets nodes only go: what is launched for pods that wait is for these alone.

Which nodes may go is then asked of a fleet in which the pods that wait stand where there is room for them already, the
nodes launched for them closed to all others. So no launch comes in the place of a node that goes, and none is larger
than the pods that wait need.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.sequence import standing
from shared.kernel.workload import Pod

LAUNCHED = "it is launched for pods that wait"


@dataclass(frozen=True, slots=True)
class Settled:
    """A fleet whose pods that wait have settled."""

    state: FleetState
    """To look for nodes that may go in."""
    launched: Mapping[str, StandingNode]
    """By name: the nodes that are closed there, as they are."""

    def closed(self, fleet: FleetState) -> FleetState:
        """Give a fleet with its launched nodes closed."""
        return closed(fleet, self.launched)

    def opened(self, fleet: FleetState) -> FleetState:
        """Give a fleet that was made of this one with its launched nodes as they are."""
        return replace(fleet, nodes=tuple(self.launched.get(n.node.name, n) for n in fleet.nodes))


def settled(before: FleetState, after: FleetState) -> Settled:
    """Put the pods that wait on the nodes that they have in `after`: new ones, and those of today that stay there."""
    here = {n.node.name for n in before.nodes}
    launched = {name: n for name, n in standing(after).items() if name not in here}
    target = {p.key: n.node.name for n in after.nodes for p in n.movable}
    arrivals: dict[str, list[Pod]] = {}
    for pod in before.pending:
        if (name := target.get(pod.key)) is not None:
            arrivals.setdefault(name, []).append(pod.on(name))
    nodes = [replace(n, pods=(*n.pods, *arrivals.get(n.node.name, ()))) for n in before.nodes]
    nodes += [_closed(n) for n in launched.values()]
    state = replace(
        before,
        nodes=tuple(sorted(nodes, key=lambda n: n.node.name)),
        pending=tuple(p for p in before.pending if p.key not in target),
    )
    return Settled(state, launched)


def closed(fleet: FleetState, names: Collection[str]) -> FleetState:
    """Give the fleet with these nodes taking nothing more."""
    return replace(fleet, nodes=tuple(_closed(n) if n.node.name in names else n for n in fleet.nodes))


def expected(before: FleetState, after: FleetState) -> tuple[Pod, ...]:
    """Give the pods that wait for which nodes of today have room in `after`."""
    here = {n.node.name for n in before.nodes}
    settling = {p.key for n in after.nodes if n.node.name in here for p in n.movable}
    return tuple(p for p in before.pending if p.key in settling)


def _closed(node: StandingNode) -> StandingNode:
    return replace(node, node=replace(node.node, is_unschedulable=True), kept_because=LAUNCHED)
