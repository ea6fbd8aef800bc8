"""Which nodes to give up: several sets are tried, the one that leads to the cheapest fleet wins.

A set is given up as a whole: its pods go into the room of the nodes that stay, and onto new nodes. Tried
are all nodes that may go, those that cost more than their pods are worth in a fresh fleet, those that the
fresh fleet has no twin for, and those whose pods fit beside the others without any launch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import MICRO, Offer
from services.optimizer.domain.packing.fleet import Packer, Packing
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import Pod

TOLERATED_EXCESS = (0.0, 0.25)
"""How much more than its pods' worth a node may cost before it is given up."""
RETRIES = 3
BYTES_PER_MILLICORE = int(7.2 * 1024**3 / 1000)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to change the fleet."""

    drained: frozenset[str]
    packing: Packing
    after: FleetState
    micro_objective: int
    """Of the nodes whose price is known."""

    @property
    def rank(self) -> tuple[int, int, list[str]]:
        """Order options: the cheapest, of these the one that drains least."""
        return self.micro_objective, len(self.drained), sorted(self.drained)


@dataclass(frozen=True, slots=True)
class Consolidator:
    """Looks for cheaper fleets under one market and one set of rules."""

    packer: Packer
    judge: SpotJudge
    rules: PlanRules

    def fresh(self, state: FleetState, *, prefix: str) -> Option | None:
        """Give up every node that may go."""
        names = frozenset(n.node.name for n in state.nodes if n.kept_because is None)
        return self.evaluate(state, names, prefix=prefix) if names else None

    def best(self, state: FleetState, fresh: Option | None, *, prefix: str) -> Option | None:
        """Give the cheapest option that places every pod that runs now.

        `fresh` is what giving up all nodes leads to: for the same pods it is the same from whatever fleet.
        """
        movable = [n for n in state.nodes if n.kept_because is None]
        if not movable:
            return None
        sets = [self._fits_elsewhere(state)]
        if fresh is not None:
            sets += self._inefficient(movable, fresh)
            sets.append(_without_twin(movable, fresh))
        tried: dict[frozenset[str], Option | None] = {frozenset(n.node.name for n in movable): None}
        for drained in sets:
            if drained and drained not in tried:
                tried[drained] = self.evaluate(state, drained, prefix=prefix)
        found = [o for o in tried.values() if o is not None]
        return min(found, key=lambda o: o.rank, default=None)

    def evaluate(self, state: FleetState, drained: frozenset[str], *, prefix: str) -> Option | None:
        """Give up these nodes; nodes whose pods find no place stay after all."""
        for _ in range(RETRIES):
            going = [n for n in state.nodes if n.node.name in drained]
            pods = [unbound(p) for n in going for p in n.movable]
            pods += list(state.pending)
            packing = self.packer.pack(pods, state.without(drained), prefix=prefix)
            homeless = {p.key for p in packing.unplaced}
            stuck = {n.node.name for n in going if any(p.key in homeless for p in n.movable)}
            if not stuck:
                after = self._after(state, drained, packing)
                return Option(drained, packing, after, objective(after.nodes, self.rules))
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
