"""Which nodes to give up: several sets are tried, each in several styles of new nodes.

A set is given up as a whole: its pods go into the room of the nodes that stay, and onto new nodes. Tried
are all nodes that may go, those that cost more than their pods are worth in a fresh fleet, those that the
fresh fleet has no twin for, and those whose pods fit beside the others without any launch. Which of the
options wins is decided later, when it is known what kube-scheduler would make of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.optimizer.domain import disruption, on_demand_floor
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import MICRO, Offer
from services.optimizer.domain.packing.fleet import TIGHT, Packer, Packing, Style
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import Pod

TOLERATED_EXCESS = (0.0, 0.25, 1.0)
"""How much more than its pods' worth a node may cost before it is given up."""
STYLES = (
    TIGHT,
    *(Style(headroom, 0) for headroom in (0.1, 0.2)),
    *(Style(headroom, 3000) for headroom in (0.1, 0.2, 0.3)),
    *(Style(headroom, 7000) for headroom in (0.1, 0.2)),
)
"""From packed to the brim on whatever size to roomy nodes of at least four or eight cores."""
STYLES_OF_PARTS = 2
"""Sets that keep nodes are tried in the best styles only: there are more of them, and less to launch."""
LARGE_CLUSTER_PODS = 500
STYLES_WHEN_LARGE = (TIGHT, Style(0.05, 7000), Style(0.1, 15000))
"""A large cluster evens out by itself, and every further option takes a second there."""
RETRIES = 3
BYTES_PER_MILLICORE = int(7.2 * 1024**3 / 1000)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to change the fleet."""

    drained: frozenset[str]
    packing: Packing
    after: FleetState
    micro_rank: int
    """Price and risk an hour of the nodes whose price is known, and what the change must earn an hour."""
    style: Style

    @property
    def order(self) -> tuple[int, int, list[str]]:
        """Order options: the cheapest, of these the one that drains least."""
        return self.micro_rank, len(self.drained), sorted(self.drained)


@dataclass(frozen=True, slots=True)
class Consolidator:
    """Looks for cheaper fleets under one market and one set of rules."""

    packer: Packer
    judge: SpotJudge
    rules: PlanRules

    def options(self, state: FleetState) -> list[Option]:
        """Give the options that place every pod that runs now, the most promising first."""
        movable = [n for n in state.nodes if n.kept_because is None]
        if not movable:
            return []
        everything = frozenset(n.node.name for n in movable)
        is_large = sum(len(n.movable) for n in movable) > LARGE_CLUSTER_PODS
        found: list[Option] = []

        def tried(drained: frozenset[str], style: Style) -> None:
            option = self.evaluate(state, drained, prefix=f"new-{len(found) + 1}-", style=style)
            if option is not None and on_demand_floor.is_kept(state, option.after, self.judge):
                found.append(option)

        for style in STYLES_WHEN_LARGE if is_large else STYLES:
            tried(everything, style)
        sets = [self._fits_elsewhere(state)]
        styles = [o.style for o in sorted(found, key=lambda o: o.order)[:STYLES_OF_PARTS]] or [TIGHT]
        if found:
            fresh = min(found, key=lambda o: (o.packing.micro_usd, o.order))
            sets += self._inefficient(movable, fresh)
            sets.append(_without_twin(movable, fresh))
        for drained in dict.fromkeys(s for s in sets if s and s != everything):
            for style in styles:
                tried(drained, style)
                if found and found[-1].drained == drained and not found[-1].packing.new:
                    break  # nothing is launched, so no style matters
        return sorted(found, key=lambda o: o.order)

    def evaluate(
        self, state: FleetState, drained: frozenset[str], *, prefix: str, style: Style = TIGHT
    ) -> Option | None:
        """Give up these nodes; nodes whose pods find no place stay after all."""
        for _ in range(RETRIES):
            going = [n for n in state.nodes if n.node.name in drained]
            pods = [unbound(p) for n in going for p in n.movable]
            pods += list(state.pending)
            packing = self.packer.pack(pods, state.without(drained), prefix=prefix, style=style)
            homeless = {p.key for p in packing.unplaced}
            stuck = {n.node.name for n in going if any(p.key in homeless for p in n.movable)}
            if not stuck:
                after = self._after(state, drained, packing)
                return Option(drained, packing, after, rank(state, after, self.rules), style)
            drained -= stuck
        return None

    def _after(self, state: FleetState, drained: frozenset[str], packing: Packing) -> FleetState:
        arrivals: dict[str, list[Pod]] = {}
        by_key = {p.key: p for n in state.nodes for p in n.pods} | {p.key: p for p in state.pending}
        for key, name in packing.onto_kept.items():
            arrivals.setdefault(name, []).append(replace(by_key[key], node_name=name))
        stay = [
            replace(n, pods=(*n.pods, *arrivals.get(n.node.name, ())))
            for n in state.nodes
            if n.node.name not in drained
        ]
        new = [
            StandingNode(
                p.node,
                p.offer,
                (
                    *self.packer.shelf.daemons_on(p.row, p.node),
                    *(replace(pod, node_name=p.node.name) for pod in p.pods),
                ),
                None,
            )
            for p in packing.new
        ]
        nodes = tuple(sorted((*stay, *new), key=lambda n: n.node.name))
        pending = tuple(packing.unplaced)
        return replace(state, nodes=nodes, pending=pending)

    def _inefficient(self, movable: Iterable[StandingNode], fresh: Option) -> list[frozenset[str]]:
        moved = [p for n in movable for p in n.movable]
        total = sum(weight(p) for p in moved)
        if total == 0 or not fresh.packing.new:
            return []
        rate = fresh.packing.micro_usd / total
        return [
            frozenset(
                n.node.name
                for n in movable
                if n.micro_usd > (1 + excess) * rate * sum(weight(p) for p in n.movable)
            )
            for excess in TOLERATED_EXCESS
        ]

    def _fits_elsewhere(self, state: FleetState) -> frozenset[str]:
        view = ClusterView.of(state.without(()))
        usable = {n.node.name: n for n in state.nodes if n.node.is_ready and not n.node.is_unschedulable}
        candidates = sorted(
            (n for n in state.nodes if n.kept_because is None),
            key=lambda n: (sum(weight(p) for p in n.movable) / n.micro_usd, n.node.name),
        )
        gone: set[str] = set()
        for node in candidates:
            trial: list[str] = []
            for pod in sorted(node.movable, key=lambda p: (-weight(p), p.key)):
                view.remove(pod.key)
                target = self._target(pod, node.node.name, usable, gone, view)
                if target is None:
                    view.place(pod, node.node.name)
                    break
                view.place(pod, target)
                trial.append(pod.key)
            else:
                gone.add(node.node.name)
                continue
            for key in trial:
                view.place(view.remove(key), node.node.name)
        return frozenset(gone)

    def _target(
        self, pod: Pod, own: str, usable: dict[str, StandingNode], gone: set[str], view: ClusterView
    ) -> str | None:
        for name, node in usable.items():
            if name == own or name in gone:
                continue
            if node.node.capacity_type is CapacityType.SPOT and self.judge.refusal(pod) is not None:
                continue
            if view.fits(pod, name):
                return name
        return None


def unbound(pod: Pod) -> Pod:
    """Give the pod as its controller would make it again: on no node yet."""
    return replace(pod, node_name=None)


def weight(pod: Pod) -> int:
    """Give one number for the size of a pod: bytes, a core counted as 7.2 GiB."""
    r = pod.requests
    devices = sum(r.extended.values()) * 64 * 1024**3
    return r.cpu_millicores * BYTES_PER_MILLICORE + r.memory_bytes + devices


def risk_micro_usd(offer: Offer | None, pods: int, rules: PlanRules) -> int:
    """Give the expected cost an hour of the restarts that interruptions of one node cause."""
    if offer is None or offer.interruption_probability is None:
        return 0
    return round(offer.interruption_probability * rules.usd_per_restart * MICRO * pods)


def objective(nodes: Iterable[StandingNode], rules: PlanRules) -> int:
    """Give price and risk of the nodes whose price is known, in micro-dollars an hour."""
    return sum(
        n.offer.micro_usd + risk_micro_usd(n.offer, len(n.movable), rules)
        for n in nodes
        if n.offer is not None
    )


def rank(before: FleetState, after: FleetState, rules: PlanRules) -> int:
    """Give what a fleet costs an hour, with what the change to it must earn an hour, in micro-dollars."""
    old = {n.node.name for n in before.nodes}
    stays = {n.node.name for n in after.nodes}
    drained = (n for n in before.nodes if n.node.name not in stays)
    launched = (n for n in after.nodes if n.node.name not in old)
    once = disruption.charge(drained, launched, rules)
    return objective(after.nodes, rules) + disruption.hourly(once, rules)


def _without_twin(movable: Iterable[StandingNode], fresh: Option) -> frozenset[str]:
    twins: dict[object, int] = {}
    for new in fresh.packing.new:
        twins[new.offer.pool] = twins.get(new.offer.pool, 0) + 1
    drained = set()
    for node in sorted(movable, key=lambda n: (-sum(weight(p) for p in n.movable), n.node.name)):
        pool = node.offer.pool if node.offer else None
        if twins.get(pool, 0) > 0:
            twins[pool] -= 1
        else:
            drained.add(node.node.name)
    return frozenset(drained)
