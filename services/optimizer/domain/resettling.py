"""Whether a fleet could hold all of its pods within the limits of policy if they were placed anew.

kube-scheduler knows of no limit per spot pool, so that limits are broken soon after a plan was carried out. A plan
that only looked at where pods are now could then give up what the one before held to be needed. So every fleet is
asked for more than what it does: that policy could be kept to on it, wherever its pods happen to lie.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.packing.fleet import Packing
from services.optimizer.domain.placing import Placer
from services.optimizer.domain.restarts import canonical
from shared.kernel.workload import Pod


@dataclass(frozen=True, slots=True)
class Resettler:
    """Places the pods of fleets anew."""

    placer: Placer
    _known: dict[Hashable, tuple[FleetState, Packing | None]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def left(self, fleet: FleetState) -> int:
        """Count the pods for which no place would be left where policy permits one.

        Pods on nodes that may not be changed stay there.
        """
        _, packing = self._anew(fleet)
        return 0 if packing is None else len(packing.unplaced)

    def more(self, fleet: FleetState, *, prefix: str) -> tuple[int, ...]:
        """Give the rows of the shelf to launch for the pods that would be left, all others placed anew."""
        empty, packing = self._anew(fleet)
        if packing is None:
            return ()
        held: dict[str, list[Pod]] = {n.node.name: list(n.pods) for n in empty.nodes}
        for pod in empty.pending:
            if pod.key in packing.onto_kept:
                held[packing.onto_kept[pod.key]].append(pod)
        full = replace(
            empty.objects,
            nodes=tuple(replace(n.node, is_unschedulable=True) for n in empty.nodes),
            pods=tuple(p.on(name) for name, pods in held.items() for p in pods),
        )
        return tuple(p.row for p in self.placer.packer.pack(packing.unplaced, full, prefix=prefix).new)

    def _anew(self, fleet: FleetState) -> tuple[FleetState, Packing | None]:
        """Give the fleet with its pods on no node, and where each would go."""
        kept = [n for n in fleet.nodes if n.kept_because is not None]
        free = canonical(n for n in fleet.nodes if n.kept_because is None)
        key = (tuple(n.node.name for n in kept), tuple(str(n.offer.pool) for n in free if n.offer))
        if key not in self._known:
            pods = sorted((p for n in free for p in n.movable), key=lambda p: p.key)
            gone = {p.key for p in pods}
            bare = (replace(n, pods=tuple(p for p in n.pods if p.key not in gone)) for n in free)
            empty = replace(fleet, nodes=(*kept, *bare), pending=tuple(p.on(None) for p in pods))
            self._known[key] = empty, self.placer.place(empty, frozenset(), (), prefix="anew-")
        return self._known[key]
