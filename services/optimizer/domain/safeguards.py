"""What no saving may break: room for pods that wait, room on on-demand, floors, headroom, nodes, diversification.

A fleet is compared with the one of today: what is missing today need not be mended by a plan that saves, but it must
not get worse.
"""

from dataclasses import dataclass

from services.optimizer.domain import diversification, headroom, levels, on_demand_floor, on_demand_replicas
from services.optimizer.domain.diversification import Breach
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.losses import WorkloadKey
from services.optimizer.domain.spot_tolerance import SpotJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguards:
    """Today's fleet, measured once; many fleets are held against it."""

    before: FleetState
    judge: SpotJudge
    breaches: tuple[Breach, ...]
    unspreadable: tuple[Breach, ...]
    on_demand: dict[WorkloadKey, int]
    """Replicas on on-demand today, of workloads with a floor."""
    headroom_missing: int
    """Placeholders for which there would be no room even without a change."""
    homeless: frozenset[str]
    """Keys of the pods for which there would be none either."""

    def broken(self, after: FleetState) -> str | None:
        """Give the first thing that the fleet breaks, in a sentence; None when it breaks nothing."""
        rules = self.judge.rules
        least = min(rules.min_nodes, len(self.before.nodes))
        if len(after.nodes) < least:
            return f"The policy asks for at least {rules.min_nodes} nodes."
        left = sorted(p.key for p in headroom.without(after.pending) if p.key not in self.homeless)
        if left:
            return f"It would leave no room for pod {left[0]}, which waits for some."
        if headroom.missing(after.pending) > self.headroom_missing:
            return "It would leave no room for the headroom that the policy asks for."
        if not on_demand_floor.is_kept(self.before, after, self.judge):
            return "It would leave too little room on on-demand for pods that must not run on spot."
        full = levels.broken(self.before, after, rules)
        if full is not None:
            return full
        counts = on_demand_replicas.counts(((n.node, n.movable) for n in after.nodes), self.judge.floors)
        for (namespace, owner), had in sorted(self.on_demand.items()):
            least = min(self.judge.floors[namespace, owner], had)
            if counts[namespace, owner] < least:
                return f"It would leave {namespace}/{owner.name} fewer than {least} replicas on on-demand."
        worse = diversification.added(self.breaches, diversification.breaches(after.nodes, self.judge))
        if not worse:
            never = diversification.unspreadable(after.nodes, self.judge)
            worse = diversification.added(self.unspreadable, never)
        return worse[0].sentence if worse else None


def safeguards(before: FleetState, room: FleetState, judge: SpotJudge) -> Safeguards:
    """Measure today's fleet; `room` is the one that only gains what pods that wait today need."""
    return Safeguards(
        before=before,
        judge=judge,
        breaches=tuple(diversification.breaches(room.nodes, judge)),
        unspreadable=tuple(diversification.unspreadable(room.nodes, judge)),
        on_demand=on_demand_replicas.counts(((n.node, n.movable) for n in before.nodes), judge.floors),
        headroom_missing=headroom.missing(room.pending),
        homeless=frozenset(p.key for p in headroom.without(room.pending)),
    )
