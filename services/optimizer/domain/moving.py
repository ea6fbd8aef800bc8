"""From two fleets to the moves between them, rehearsed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.optimizer.domain import (
    accounting,
    alternatives,
    consolidation,
    deleting,
    describing,
    disruption,
    diversification,
    headroom,
    sequence,
    worth,
)
from services.optimizer.domain.drafts import DraftKind, DraftReason, LaunchDraft, MoveDraft
from services.optimizer.domain.fleet_state import FleetState, StandingNode, weight
from services.optimizer.domain.offers import Offer, usd
from services.optimizer.domain.packing.fleet import Packer
from services.optimizer.domain.rehearsal import Rehearsal, Trouble, runs_for
from services.optimizer.domain.rules import Consolidation, PlanRules
from services.optimizer.domain.sequence import Cut, First
from services.optimizer.domain.staging import Stage
from shared.kernel.workload import ClusterObjects, Pod

SAME_SIZE_RATIO = 0.9
"""Launched cores against drained ones: from there on a move changes the offer, not the size."""
SPARE_ATTEMPTS = 6
KEEP_ATTEMPTS = 12
"""How often, after that, the nodes of pods that are homeless all the same are left as they are."""
REHEARSED_PODS = 16_000
"""How many pods are placed in all to find out which nodes are not needed: half a second or so."""
LEAST_TRIALS = 4
"""How often that is tried even where many pods move."""
SHARE_AT_ONCE = 8
"""So large a part of the nodes is left out at once to begin with, one in so many."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way from one fleet to another."""

    after: FleetState
    """With what the rehearsals added."""
    cuts: tuple[Cut, ...]
    micro_rank: int
    """See consolidation.rank; of the fleet that results."""
    homeless: tuple[str, ...] = ()
    """Pods that run today and that a rehearsal left without a place: then the moves must not be made."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Cuts, rehearses and describes moves."""

    packer: Packer
    rules: PlanRules
    _stages: dict[int, tuple[FleetState, Stage]] = field(default_factory=dict, compare=False, repr=False)
    """By id of the fleet, which is kept so that its id stays its own."""

    def way(self, before: FleetState, after: FleetState, *, limit: int | None = None) -> Way:
        """Cut the way into moves; where a rehearsal leaves pods homeless, add nodes for them.

        Where that does not help, the nodes of such pods stay. It all ends, with pods still homeless, when the
        fleet ranks no better than `limit` any more.
        """
        cuts, troubles = self._smoothest(before, after)
        may_launch = self.rules.consolidation is Consolidation.REPLACE
        for attempt in range(1, SPARE_ATTEMPTS + 1 if may_launch else 1):
            added = 0
            for trouble in troubles:
                spares = self._spare(trouble.homeless, after, f"spare-{attempt}-{trouble.move + 1}-")
                cuts[trouble.move].launches += [n.node.name for n in spares]
                after = self._with_room(after, spares)
                added += len(spares)
            if not added or self.packer.should_stop():
                break
            if limit is not None and consolidation.rank(before, after, self.packer.grouper.judge) >= limit:
                break
            troubles = self._rehearse(before, after, cuts)
        for _ in range(KEEP_ATTEMPTS):
            if not troubles or self.packer.should_stop():
                break
            homeless = {p.key for t in troubles for p in t.homeless}
            kept = [n for n in before.nodes if any(p.key in homeless for p in n.movable)]
            after, cuts = _with_kept(after, kept), _without_drains(cuts, {n.node.name for n in kept})
            if limit is not None and consolidation.rank(before, after, self.packer.grouper.judge) >= limit:
                break
            troubles = self._rehearse(before, after, cuts)
        names = sorted(p.key for t in troubles for p in t.homeless)
        return Way(
            after, tuple(cuts), consolidation.rank(before, after, self.packer.grouper.judge), tuple(names)
        )

    def trimmed(self, before: FleetState, way: Way, is_good: Callable[[FleetState], bool]) -> Way:
        """Leave out nodes that no rehearsal needs, launches first: many at once while that is good."""
        old = sequence.standing(before)
        moved = sum(len(old[name].movable) for cut in way.cuts for name in cut.drains)
        trials = max(REHEARSED_PODS // max(moved * len(runs_for(moved)), 1), LEAST_TRIALS)
        launched = {name for cut in way.cuts for name in cut.launches}
        candidates = sorted(
            (n for n in way.after.nodes if n.node.name in launched or n.kept_because is None),
            key=lambda n: (
                n.node.name not in launched,
                sum(weight(p) for p in n.movable) / max(n.micro_usd, 1),
                n.node.name,
            ),
        )
        left = [n.node.name for n in candidates]
        together = max(len(left) // SHARE_AT_ONCE, 1)
        for _ in range(trials):
            if not left or self.packer.should_stop():
                break
            less = self._without(left[:together], before, way, is_good)
            if less is not None:
                way, left = less, left[together:]
            elif together > 1:
                together //= 2
            else:
                left = left[1:]
        return way

    def _without(
        self, names: Sequence[str], before: FleetState, way: Way, is_good: Callable[[FleetState], bool]
    ) -> Way | None:
        gone = set(names)
        pods = [p.on(None) for n in way.after.nodes if n.node.name in gone for p in n.movable]
        launched = {n for cut in way.cuts for n in cut.launches}
        fleet = deleting.closed(way.after, launched) if self._only_deletes else way.after
        squeezed = self.packer.squeeze(pods, fleet.without(names))
        if squeezed.unplaced:
            return None
        after = _arrived(way.after, gone, squeezed.onto_kept)
        rank = consolidation.rank(before, after, self.packer.grouper.judge)
        if rank >= way.micro_rank or not is_good(after):
            return None
        cuts = [
            Cut([n for n in cut.launches if n not in gone], list(cut.drains), cut.is_for_pending)
            for cut in way.cuts
        ]
        cuts += [Cut(drains=[n]) for n in names if n not in launched]
        cuts = [cut for cut in cuts if cut.launches or cut.drains]
        if self._rehearse(before, after, cuts):
            return None
        return Way(after, tuple(cuts), rank)

    def drafts(self, before: FleetState, way: Way) -> tuple[MoveDraft, ...]:
        """Describe the moves."""
        old, new = sequence.standing(before), sequence.standing(way.after)
        # What the rehearsals added may have cost a move its worth.
        amounts = worth.by_node(before, way.after, self.packer.grouper.judge)
        cuts = sequence.worthwhile(way.cuts, amounts, self.rules.min_move_micro_usd)
        launched = [new[name] for move in cuts for name in move.launches]
        claims = {v.key: v for v in before.objects.volumes} or None
        offers: Mapping[str, tuple[Offer, ...]] = {}
        if launched:
            loads = {n.node.name: (_offer(n), n.movable) for n in launched}
            offers = alternatives.offers_for(
                loads, self.packer.shelf, self.packer.grouper, claims, fleet=way.after.nodes
            )
        waiting = {p.key for p in before.pending if not headroom.is_placeholder(p)}
        return tuple(
            _draft(number, move, old, new, offers, amounts, self.packer, waiting)
            for number, move in enumerate(cuts, start=1)
        )

    def is_smooth(self, before: FleetState, after: FleetState) -> bool:
        """Whether all rehearsals of a way go well without anything added."""
        return not self._smoothest(before, after)[1]

    def _smoothest(self, before: FleetState, after: FleetState) -> tuple[list[Cut], list[Trouble]]:
        """Give the first order of moves whose rehearsals go well; else the one that leaves the fewest homeless."""
        tried: list[tuple[list[Cut], list[Trouble]]] = []
        for first in First:
            cuts = self._cut(before, after, first)
            if any(cuts == known for known, _ in tried):
                continue
            tried.append((cuts, self._rehearse(before, after, cuts)))
            if not tried[-1][1]:
                return tried[-1]
            if self.packer.should_stop():
                break
        return min(tried, key=lambda t: sum(len(x.homeless) for x in t[1]))

    def _cut(self, before: FleetState, after: FleetState, first: First) -> list[Cut]:
        return sequence.cut(
            before,
            after,
            worth=worth.by_node(before, after, self.packer.grouper.judge),
            min_savings_micro_usd=self.rules.min_move_micro_usd,
            disrupted_ratio=self.rules.max_disrupted_nodes_ratio,
            first=first,
        )

    def _rehearse(self, before: FleetState, after: FleetState, cuts: Sequence[Cut]) -> list[Trouble]:
        """Give the trouble of the first run that comes to any."""
        if not any(cut.drains for cut in cuts):
            return []
        closed = [n.node.name for n in before.nodes if n.node.is_unschedulable or not n.node.is_ready]
        objects, new = before.without(()), sequence.standing(after)
        if id(before) not in self._stages:
            self._stages[id(before)] = before, Stage(objects, self.packer.grouper.meant)
        stage = self._stages[id(before)][1]
        ways = [(cuts, before.pending)]
        if self._only_deletes and any(cut.launches for cut in cuts):
            # No pod of a node that goes may depend on a new node: all goes well if none ever comes.
            ways.append(([replace(cut, launches=[]) for cut in cuts], deleting.expected(before, after)))
        for run in runs_for(len(objects.pods)):
            for played, pending in ways:
                troubles = Rehearsal(stage, closed, run).play(played, new, pending)
                if troubles:
                    return troubles
        return []

    @property
    def _only_deletes(self) -> bool:
        return self.rules.consolidation is Consolidation.DELETE_ONLY

    def _with_room(self, after: FleetState, spares: Sequence[StandingNode]) -> FleetState:
        """Add spares with the pods they are for; without them where that would crowd a pool or a zone.

        A spare is room for a while, whoever takes it: its pods may as well be meant for where they were before.
        """
        judge = self.packer.grouper.judge
        filled = _with_spares(after, spares)
        known = tuple(diversification.breaches(after.nodes, judge))
        if not diversification.added(known, diversification.breaches(filled.nodes, judge)):
            return filled
        empty = [replace(n, pods=tuple(p for p in n.pods if p.is_daemon)) for n in spares]
        return replace(after, nodes=tuple(sorted((*after.nodes, *empty), key=lambda n: n.node.name)))

    def _spare(self, pods: Iterable[Pod], after: FleetState, prefix: str) -> list[StandingNode]:
        """Give nodes for pods that a rehearsal left homeless, in pools where their workloads have room left."""
        homeless = [consolidation.unbound(p) for p in pods]
        packing = self.packer.pack(homeless, _beside(after, homeless), prefix=prefix)
        new = list(packing.new)
        if packing.unplaced:
            alone = replace(after.objects, nodes=(), pods=())
            new += self.packer.pack(packing.unplaced, alone, prefix=f"{prefix}more-").new
        return [
            StandingNode(
                p.node,
                p.offer,
                (
                    *self.packer.shelf.daemons_on(p.row, p.node),
                    *(pod.on(p.node.name) for pod in p.pods),
                ),
                None,
            )
            for p in new
        ]


def _beside(after: FleetState, homeless: Sequence[Pod]) -> ClusterObjects:
    """Give the nodes that hold replicas of the same workloads, closed: only pools and zones of theirs count."""
    keys = {p.key for p in homeless}
    owners = {(p.namespace, p.owner) for p in homeless if p.owner is not None}
    held = {
        n.node.name: [p for p in n.movable if (p.namespace, p.owner) in owners and p.key not in keys]
        for n in after.nodes
    }
    return replace(
        after.objects,
        nodes=tuple(replace(n.node, is_unschedulable=True) for n in after.nodes if held[n.node.name]),
        pods=tuple(p.on(name) for name, pods in held.items() for p in pods),
    )


def _arrived(state: FleetState, gone: Collection[str], onto: Mapping[str, str]) -> FleetState:
    """Give the fleet without some nodes, their pods on others."""
    arrivals: dict[str, list[Pod]] = {}
    for pod in (p for n in state.nodes if n.node.name in gone for p in n.movable):
        arrivals.setdefault(onto[pod.key], []).append(pod.on(onto[pod.key]))
    nodes = tuple(
        replace(n, pods=(*n.pods, *arrivals.get(n.node.name, ())))
        for n in state.nodes
        if n.node.name not in gone
    )
    return replace(state, nodes=nodes)


def _with_kept(after: FleetState, kept: Sequence[StandingNode]) -> FleetState:
    """Give the fleet with nodes that were to go, and their pods on them."""
    names = {n.node.name for n in kept}
    back = {p.key for n in kept for p in n.movable}
    others = (
        replace(n, pods=tuple(p for p in n.pods if p.key not in back))
        for n in after.nodes
        if n.node.name not in names
    )
    return replace(after, nodes=tuple(sorted((*others, *kept), key=lambda n: n.node.name)))


def _without_drains(cuts: Sequence[Cut], names: set[str]) -> list[Cut]:
    left = [Cut(cut.launches, [n for n in cut.drains if n not in names], cut.is_for_pending) for cut in cuts]
    return [cut for cut in left if cut.launches or cut.drains]


def _with_spares(after: FleetState, spares: Sequence[StandingNode]) -> FleetState:
    # A pod that several spares were launched for belongs to the last of them.
    where = {p.key: n.node.name for n in spares for p in n.movable}
    nodes = [
        replace(n, pods=tuple(p for p in n.pods if where.get(p.key, n.node.name) == n.node.name))
        for n in (*after.nodes, *spares)
    ]
    return replace(after, nodes=tuple(sorted(nodes, key=lambda n: n.node.name)))


def _draft(
    number: int,
    move: Cut,
    old: Mapping[str, StandingNode],
    new: Mapping[str, StandingNode],
    offers: Mapping[str, tuple[Offer, ...]],
    amounts: Mapping[str, int],
    packer: Packer,
    waiting: Collection[str],
) -> MoveDraft:
    judge = packer.grouper.judge
    drained = [old[name] for name in move.drains]
    launched = [new[name] for name in move.launches]
    pods = sum(len(n.movable) for n in drained)
    kind, reason = _kind(drained, launched, pods, waiting)
    saved = sum(n.micro_usd for n in drained) - sum(n.micro_usd for n in launched)
    earned = sequence.savings(move, amounts)
    once = disruption.charge(drained, launched, judge.rules) if drained else 0
    other: tuple[str, float | None] | None = None
    if launched:
        other = describing.next_offer(offers[launched[0].node.name], launched[0].movable, judge, packer.shelf)
        binding = describing.binding_constraint(launched)
    else:
        binding = describing.binding_for(drained, new.values())
    if drained and other is None:
        other = describing.keeping(drained, earned)
    elif other is None:
        other = describing.leaving_them(sum(len(n.movable) for n in launched)), None
    return MoveDraft(
        id=f"move-{number}",
        kind=kind,
        reason=reason,
        launches=tuple(
            LaunchDraft(n.node.name, offers[n.node.name], tuple(sorted(p.key for p in n.movable)))
            for n in launched
        ),
        drains=tuple(move.drains),
        savings_usd_per_hour=usd(saved),
        worth_usd_per_hour=usd(earned),
        disruption_pods=pods,
        disruption_usd=usd(once),
        payback_seconds=-(-once * disruption.SECONDS_PER_HOUR // earned) if earned > 0 else None,
        interruptions_per_day_before=accounting.interruptions_per_day(drained),
        interruptions_per_day_after=accounting.interruptions_per_day(launched),
        explanation=describing.sentence(drained, launched, reason, pods, earned),
        runner_up=other[0],
        runner_up_extra_usd_per_hour=other[1],
        binding_constraint=binding,
    )


def _kind(
    drained: Sequence[StandingNode], launched: Sequence[StandingNode], pods: int, waiting: Collection[str]
) -> tuple[DraftKind, DraftReason]:
    if not drained:
        arriving = [p for n in launched for p in n.movable]
        if any(p.key in waiting for p in arriving):
            return DraftKind.LAUNCH, DraftReason.PENDING_PODS
        is_spare = any(headroom.is_placeholder(p) for p in arriving)
        return DraftKind.LAUNCH, DraftReason.HEADROOM if is_spare else DraftReason.MAKING_ROOM
    if not launched:
        return DraftKind.DELETE, DraftReason.UNDERUTILIZED if pods else DraftReason.EMPTY
    gone = sum(n.node.allocatable.cpu_millicores for n in drained)
    come = sum(n.node.allocatable.cpu_millicores for n in launched)
    if come >= SAME_SIZE_RATIO * gone:
        return DraftKind.REPLACE, DraftReason.CHEAPER_OFFERING
    return DraftKind.REPLACE, DraftReason.UNDERUTILIZED


def _offer(node: StandingNode) -> Offer:
    assert node.offer is not None
    return node.offer
