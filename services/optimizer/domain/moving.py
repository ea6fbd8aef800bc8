"""From two fleets to the moves between them, rehearsed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.optimizer.domain import alternatives, describing, sequence
from services.optimizer.domain.drafts import DraftKind, DraftReason, LaunchDraft, MoveDraft
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import MICRO, Offer, usd
from services.optimizer.domain.packing.fleet import Packer
from services.optimizer.domain.rehearsal import Rehearsal
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.sequence import Cut
from shared.kernel.workload import Pod

SAME_SIZE_RATIO = 0.9
"""Launched cores against drained ones: from there on a move changes the offer, not the size."""
SPARE_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Moved:
    """The moves, and the fleet they lead to with what the rehearsal added."""

    moves: tuple[MoveDraft, ...]
    after: FleetState
    homeless: tuple[str, ...]
    """Pods that run today and that the rehearsal left without a place: then the moves must not be made."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Cuts, rehearses and describes moves."""

    packer: Packer
    rules: PlanRules

    def moves(self, before: FleetState, after: FleetState) -> Moved:
        """Give the moves from one fleet to the other."""
        least = round(self.rules.min_move_savings_usd_per_hour * MICRO)
        cuts = sequence.cut(before, after, min_savings_micro_usd=least)
        after, homeless = self._rehearse(before, after, cuts)
        old, new = sequence.standing(before), sequence.standing(after)
        # What the rehearsal added may have cost a move its worth.
        prices = {n: s.micro_usd for n, s in {**new, **old}.items() if s.offer is not None}
        cuts = sequence.worthwhile(cuts, prices, least)
        launched = [new[name] for move in cuts for name in move.launches]
        claims = {v.key: v for v in before.objects.volumes} or None
        offers: Mapping[str, tuple[Offer, ...]] = {}
        if launched:
            loads = {n.node.name: (_offer(n), n.movable) for n in launched}
            offers = alternatives.offers_for(loads, self.packer.shelf, self.packer.grouper, claims)
        drafts = [_draft(number, move, old, new, offers) for number, move in enumerate(cuts, start=1)]
        return Moved(tuple(drafts), after, homeless)

    def _rehearse(
        self, before: FleetState, after: FleetState, cuts: Sequence[Cut]
    ) -> tuple[FleetState, tuple[str, ...]]:
        """Play the moves; where pods come out homeless, add nodes for them to the move."""
        closed = [n.node.name for n in before.nodes if n.node.is_unschedulable or not n.node.is_ready]
        stage = Rehearsal(before.without(()), closed)
        new = sequence.standing(after)
        spares: list[StandingNode] = []
        waiting = list(before.pending)
        for number, move in enumerate(cuts, start=1):
            for name in move.launches:
                stage.launch(new[name].node, (p for p in new[name].pods if p.is_daemon))
            waiting = stage.schedule(waiting)
            spares += self._add_spares(stage.tight(move.drains), move, stage, before, f"spare-{number}-0-")
            homeless = stage.drain(move.drains)
            for attempt in range(1, SPARE_ATTEMPTS + 1):
                if not homeless:
                    break
                spares += self._add_spares(homeless, move, stage, before, f"spare-{number}-{attempt}-")
                homeless = stage.schedule(homeless)
            waiting += homeless
        was_waiting = {p.key for p in before.pending}
        lost = tuple(sorted(p.key for p in waiting if p.key not in was_waiting))
        return (_with_spares(after, spares) if spares else after), lost

    def _add_spares(
        self, pods: Sequence[Pod], move: Cut, stage: Rehearsal, before: FleetState, prefix: str
    ) -> list[StandingNode]:
        added = self._spare(pods, before, prefix)
        for spare in added:
            move.launches.append(spare.node.name)
            stage.launch(spare.node, (p for p in spare.pods if p.is_daemon))
        return added

    def _spare(self, pods: Iterable[Pod], before: FleetState, prefix: str) -> list[StandingNode]:
        homeless = [replace(p, node_name=None) for p in pods]
        if not homeless:
            return []
        rest = replace(before.objects, nodes=(), pods=())
        packing = self.packer.pack(homeless, rest, prefix=prefix)
        return [
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
) -> MoveDraft:
    drained = [old[name] for name in move.drains]
    launched = [new[name] for name in move.launches]
    pods = sum(len(n.movable) for n in drained)
    kind, reason = _kind(drained, launched, pods)
    return MoveDraft(
        id=f"move-{number}",
        kind=kind,
        reason=reason,
        launches=tuple(
            LaunchDraft(n.node.name, offers[n.node.name], tuple(sorted(p.key for p in n.movable)))
            for n in launched
        ),
        drains=tuple(move.drains),
        savings_usd_per_hour=usd(sum(n.micro_usd for n in drained) - sum(n.micro_usd for n in launched)),
        disruption_pods=pods,
        explanation=describing.sentence(drained, launched, pods),
        runner_up=describing.runner_up(offers[launched[0].node.name]) if launched else None,
        binding_constraint=describing.binding_constraint(launched),
    )


def _kind(
    drained: Sequence[StandingNode], launched: Sequence[StandingNode], pods: int
) -> tuple[DraftKind, DraftReason]:
    if not drained:
        return DraftKind.LAUNCH, DraftReason.PENDING_PODS
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
