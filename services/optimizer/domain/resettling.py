"""Whether a fleet could hold all of its pods within the limits of policy if they were placed anew.

kube-scheduler knows of no limit per spot pool, so that limits are broken soon after a plan was carried out. A plan
that only looked at where pods are now could then give up what the one before held to be needed. So every fleet is
asked for more than what it does: that policy could be kept to on it, wherever its pods happen to lie.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.placing import Placer
from services.optimizer.domain.restarts import canonical


@dataclass(frozen=True, slots=True)
class Resettler:
    """Places the pods of fleets anew."""

    placer: Placer
    _known: dict[Hashable, int] = field(default_factory=dict, compare=False, repr=False)

    def left(self, fleet: FleetState) -> int:
        """Count the pods for which no place would be left where policy permits one.

        Pods on nodes that may not be changed stay there.
        """
        kept = [n for n in fleet.nodes if n.kept_because is not None]
        free = canonical(n for n in fleet.nodes if n.kept_because is None)
        key = (tuple(n.node.name for n in kept), tuple(str(n.offer.pool) for n in free if n.offer))
        if key not in self._known:
            pods = sorted((p for n in free for p in n.movable), key=lambda p: p.key)
            gone = {p.key for p in pods}
            bare = (replace(n, pods=tuple(p for p in n.pods if p.key not in gone)) for n in free)
            empty = replace(fleet, nodes=(*kept, *bare), pending=tuple(p.on(None) for p in pods))
            self._known[key] = self._left(empty)
        return self._known[key]

    def _left(self, empty: FleetState) -> int:
        packing = self.placer.place(empty, frozenset(), (), prefix="anew-")
        return 0 if packing is None else len(packing.unplaced)
