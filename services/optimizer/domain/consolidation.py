"""Which nodes to give up: several sets are tried, each in several styles of new nodes.

A set is given up as a whole: its pods go into the room of the nodes that stay, and onto new nodes. Tried
are all nodes that may go, those that cost more than their pods are worth in a fresh fleet, those that the
fresh fleet has no twin for, and those whose pods fit beside the others without any launch. Which of the
options wins is decided later, when it is known what kube-scheduler would make of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.optimizer.domain import disruption, interruption_cost
from services.optimizer.domain.fleet_state import FleetState, StandingNode, blocked_pods, unmovable
from services.optimizer.domain.packing.fleet import TIGHT, PackedNode, Packer, Packing, Style
from services.optimizer.domain.rehearsal import SETTLED, Rehearsal
from services.optimizer.domain.restarts import Crowd
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.safeguards import Safeguards
from services.optimizer.domain.spot_tolerance import SpotJudge
from services.optimizer.domain.thinning import Thinned, Thinner
from shared.kernel.workload import Pod

STYLES = (
    TIGHT,
    *(Style(headroom, 0) for headroom in (0.1, 0.2)),
    *(Style(headroom, 3000) for headroom in (0.1, 0.2, 0.3)),
    *(Style(headroom, 7000) for headroom in (0.1, 0.2)),
)
"""From packed to the brim on whatever size to roomy nodes of at least four or eight cores."""
LARGE_CLUSTER_PODS = 500
STYLES_WHEN_LARGE = (TIGHT, Style(0.05, 7000), Style(0.1, 15000))
"""A large cluster evens out by itself, and every further option takes a second there."""
RETRIES = 3


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

    def options(self, state: FleetState, guards: Safeguards) -> list[Option]:
        """Give the options that place every pod that runs now, the most promising first."""
        movable = [n for n in state.nodes if n.kept_because is None]
        room = self.evaluate(state, frozenset(), prefix="new-0-")
        if not movable or room is None:
            return []
        everything = frozenset(n.node.name for n in movable)
        is_large = sum(len(n.movable) for n in movable) > LARGE_CLUSTER_PODS
        found: list[Option] = [room]
        for style in STYLES_WHEN_LARGE if is_large else STYLES:
            option = self.evaluate(state, everything, prefix=f"new-{len(found) + 1}-", style=style)
            if option is not None and guards.broken(option.after) is None:
                found.append(option)
        return sorted(self._thinned(state, room, found, guards), key=lambda o: o.order)

    def _thinned(
        self, state: FleetState, room: Option, options: Sequence[Option], guards: Safeguards
    ) -> list[Option]:
        """Give the fleets that come of these by changing one or two nodes at a time."""
        blocked = blocked_pods(state.objects.budgets, state.objects.pods)
        crowd = Crowd(
            (
                p
                for n in room.after.nodes
                for p in n.movable
                if n.node.is_ready
                and not n.node.is_unschedulable
                and not unmovable(p, self.rules, self.judge, blocked)
            ),
            state.objects.volumes,
            refuses_spot=self._refuses_spot,
        )
        at = {n.node.name: i for i, n in enumerate(state.nodes)}
        everything = range(len(state.nodes))
        new = [p.row for p in room.packing.new]
        today = Thinner(state.nodes, self.packer.shelf, crowd, self.rules, most=0).left(everything, new)
        thinner = Thinner(state.nodes, self.packer.shelf, crowd, self.rules, most=today)
        found: dict[Thinned, Option] = {}

        def built(stay: Sequence[int], launch: Sequence[int]) -> Option | None:
            return self._built(
                state, frozenset(at) - {state.nodes[i].node.name for i in stay}, launch, prefix="thin-"
            )

        def acceptable(stay: Sequence[int], launch: Sequence[int]) -> bool:
            option = built(stay, launch)
            return option is not None and guards.broken(option.after) is None

        for option in options:
            stay = tuple(i for name, i in at.items() if name not in option.drained)
            launch = tuple(p.row for p in option.packing.new)
            strong = thinner.fortify(stay, launch)
            if strong is None:
                continue
            thin = thinner.thin(strong.stay, strong.launch, acceptable)
            if thin in found or thin == Thinned(tuple(everything), tuple(new)):
                continue
            better = self._built(
                state,
                frozenset(at) - {state.nodes[i].node.name for i in thin.stay},
                thin.launch,
                prefix=f"thin-{len(found) + 1}-",
            )
            if better is not None and guards.broken(better.after) is None:
                found[thin] = better
        return list(found.values())

    def _built(
        self, state: FleetState, drained: frozenset[str], launch: Sequence[int], *, prefix: str
    ) -> Option | None:
        """Lay the pods of drained nodes on the nodes that stay and on new ones; None when one has no place."""
        shelf = self.packer.shelf
        names = self.packer.names(prefix, taken=(n.node.name for n in state.nodes))
        new = [(row, shelf.node(row, next(names))) for row in launch]
        going = [n for n in state.nodes if n.node.name in drained]
        closed = [n.node.name for n in state.nodes if n.node.is_unschedulable or not n.node.is_ready]
        scene = Rehearsal(state.without(drained), closed, SETTLED, refuses_spot=self._refuses_spot)
        scene.launch(
            StandingNode(n, shelf.offers[row], tuple(shelf.daemons_on(row, n)), None) for row, n in new
        )
        moving = [unbound(p) for n in going for p in n.movable]
        homeless = scene.schedule(p for p in moving if self._refuses_spot(p))
        homeless += scene.schedule(p for p in moving if not self._refuses_spot(p))
        if homeless:
            return None
        waiting = scene.schedule(state.pending)
        where = {p.key: scene.node_of(p) or "" for n in going for p in n.movable} | {
            p.key: scene.node_of(p) or "" for p in state.pending
        }
        pods = {p.key: unbound(p) for n in going for p in n.movable} | {p.key: p for p in state.pending}
        held: dict[str, list[Pod]] = {}
        for key in sorted(pods):
            if where[key]:
                held.setdefault(where[key], []).append(pods[key])
        packed = tuple(PackedNode(n, row, shelf.offers[row], tuple(held.get(n.name, ()))) for row, n in new)
        if any(not p.pods for p in packed):
            return None
        fresh = {p.node.name for p in packed}
        onto = {key: name for key, name in where.items() if name and name not in fresh}
        packing = Packing(packed, onto, tuple(sorted(waiting, key=lambda p: p.key)))
        after = self._after(state, drained, packing)
        return Option(drained, packing, after, rank(state, after, self.judge), TIGHT)

    def _refuses_spot(self, pod: Pod) -> bool:
        return self.judge.refusal(pod) is not None

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
                return Option(drained, packing, after, rank(state, after, self.judge), style)
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


def unbound(pod: Pod) -> Pod:
    """Give the pod as its controller would make it again: on no node yet."""
    return replace(pod, node_name=None)


def objective(nodes: Iterable[StandingNode], judge: SpotJudge) -> int:
    """Give price and risk of the nodes whose price is known, in micro-dollars an hour."""
    return interruption_cost.breakdown(nodes, judge).total


def rank(before: FleetState, after: FleetState, judge: SpotJudge) -> int:
    """Give what a fleet costs an hour, with what the change to it must earn an hour, in micro-dollars."""
    old = {n.node.name for n in before.nodes}
    stays = {n.node.name for n in after.nodes}
    drained = (n for n in before.nodes if n.node.name not in stays)
    launched = (n for n in after.nodes if n.node.name not in old)
    once = disruption.charge(drained, launched, judge.rules)
    return objective(after.nodes, judge) + disruption.hourly(once, judge.rules)
