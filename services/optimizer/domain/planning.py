"""Plan a cluster: from what runs and what is on offer to a fleet, and the moves that lead there.

The answer is never worse than no answer: a plan that saves less than the rules ask for is given as a reason
instead of moves, and carrying out the moves and planning again gives no further ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.optimizer.domain import (
    accounting,
    alternatives,
    assurances,
    baseline,
    bounds,
    commitments,
    decision,
    headroom,
    unplaced,
)
from services.optimizer.domain.columns.problem import Ending
from services.optimizer.domain.columns.solve import never
from services.optimizer.domain.consolidation import Consolidator, objective
from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.drafts import FleetNode, MoveDraft, PlanDraft
from services.optimizer.domain.fleet_state import FleetState, read_state
from services.optimizer.domain.moving import Mover, Way
from services.optimizer.domain.offers import MICRO, Market, usd
from services.optimizer.domain.packing.fleet import LOOKING, THOROUGH, Packer
from services.optimizer.domain.packing.grouping import Grouper, selectors_meant
from services.optimizer.domain.packing.shelf import build_shelf
from services.optimizer.domain.rules import Consolidation, PlanRules, Strategy, Template
from services.optimizer.domain.safeguards import Safeguards, safeguards
from services.optimizer.domain.selection import avoided_notes
from services.optimizer.domain.spot_tolerance import SpotJudge, asks_for_on_demand, spot_judge
from services.optimizer.domain.study import Study
from shared.kernel.workload import ClusterObjects, PodPhase

REHEARSED_PODS = 1500
REHEARSED_OPTIONS_LEAST = 3
"""Options that are rehearsed: all of them in a small cluster, the most promising in a large one."""
TRIMMED_WAYS = 2


CUT_SHORT = "The plan was cut by the time limit: another run may differ."


class PlanMode(StrEnum):
    """What is asked for."""

    SAVE = "save"
    """A cheaper fleet, and room for pods that fit nowhere."""
    PENDING = "pending"
    """Only room for pods that fit nowhere."""
    GREENFIELD = "greenfield"
    """A fleet for the same pods, as if there were no node yet."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    after: FleetState
    moves: tuple[MoveDraft, ...]
    skip_reason: str | None


class _Latch:
    """Remembers that it was told to stop: what has stopped once does not go on."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self.has_stopped = False

    def __call__(self) -> bool:
        self.has_stopped = self.has_stopped or self._should_stop()
        return self.has_stopped


def plan(
    objects: ClusterObjects,
    market: Market,
    rules: PlanRules,
    template: Template,
    *,
    mode: PlanMode = PlanMode.SAVE,
    wishes: decision.Wishes = decision.NO_WISHES,
    should_stop: Callable[[], bool] = never,
) -> PlanDraft:
    """Give the plan; without moves it says why. Once `should_stop` says so, the best found until then is taken."""
    return study(objects, market, rules, template, mode=mode, wishes=wishes, should_stop=should_stop).draft


def study(
    objects: ClusterObjects,
    market: Market,
    rules: PlanRules,
    template: Template,
    *,
    mode: PlanMode = PlanMode.SAVE,
    wishes: decision.Wishes = decision.NO_WISHES,
    should_stop: Callable[[], bool] = never,
) -> Study:
    """Give the plan with everything that its explanation is read from."""
    stop = _Latch(should_stop)
    settled = decision.settle(objects, rules, wishes)
    objects, rules = settled.objects, settled.rules
    judge = spot_judge(objects, rules)
    grouper = Grouper(rules, template, judge, selectors_meant(objects.pods))
    stubborn = [p.key for p in objects.pods if asks_for_on_demand(p) and not p.is_daemon]
    offered = rules
    if rules.strategy is Strategy.SPOT and stubborn:
        offered = replace(rules, strategy=Strategy.HYBRID)
    today = read_state(objects, market, rules, template, judge)
    start = today
    if mode is PlanMode.GREENFIELD:
        start = read_state(_without_nodes(objects), market, rules, template, judge)
    limited = commitments.limited_offers(start.nodes, market, rules.commitments, template)
    today, start = (replace(s, nodes=commitments.priced(s.nodes, rules.commitments)) for s in (today, start))
    shelf = build_shelf(market, offered, template, daemon_sets(objects), limited=limited)
    packer = Packer(
        shelf,
        grouper,
        taken=frozenset(n.name for n in objects.nodes),
        should_stop=stop,
        effort=THOROUGH if mode is PlanMode.GREENFIELD else LOOKING,
    )
    consolidator, mover = Consolidator(packer, judge, rules), Mover(packer, rules)
    work = _Work(start, consolidator, mover, rules)
    outcome = work.outcome(mode)
    homeless = headroom.without(outcome.after.pending)
    explained = (
        unplaced.explain_all(
            homeless, shelf=shelf, market=market, grouper=grouper, state=outcome.after.without(())
        )
        if homeless
        else ()
    )
    after = outcome.after.nodes
    cost_before = accounting.cost(today.nodes) if today.nodes else None
    cost_after = accounting.cost(after)
    here = {n.node.name for n in today.nodes}
    loads = {n.node.name: (n.offer, n.movable) for n in after if n.offer and n.node.name not in here}
    claims = {v.key: v for v in start.objects.volumes} or None
    priced = shelf
    if rules.strategy is Strategy.SPOT:
        # What the loads would cost on-demand is asked although nothing may be bought that way.
        priced = build_shelf(
            market, replace(rules, strategy=Strategy.ON_DEMAND), template, daemon_sets(objects)
        )
    holders = alternatives.cheapest_on_demand(loads, priced, grouper, claims) if loads else {}
    shares = accounting.split(today.nodes, after, market.prices(), holders)
    running = [p for n in today.nodes for p in n.movable]
    before_usd = None if cost_before is None else usd(cost_before)
    nothing_new = mode is not PlanMode.GREENFIELD and not outcome.moves
    bound = bounds.lower_bound(
        outcome.after,
        start,
        shelf=shelf,
        grouper=grouper,
        fixed={n.node.name for n in start.nodes if mode is PlanMode.PENDING or n.kept_because is not None},
        objective=objective(after, judge),
        should_stop=stop,
        proofs=packer.proofs,
    )
    assurance = assurances.assure(outcome.after, judge, market, template)
    draft = PlanDraft(
        moves=outcome.moves,
        nodes=_fleet(today, outcome.after),
        unplaced=explained,
        nodes_before=len(today.nodes),
        nodes_after=len(after),
        cost_before_usd_per_hour=before_usd,
        cost_after_usd_per_hour=None if cost_after is None else usd(cost_after),
        objective_usd_per_hour=None if cost_after is None else usd(objective(after, judge)),
        lower_bound_usd_per_hour=None if bound is None else bound.usd_per_hour,
        bound_leaves_out=() if bound is None else bound.leaves_out,
        ended_by=Ending.STOPPED if stop.has_stopped else bound.ended_by if bound else Ending.CONVERGED,
        savings_from_packing_usd_per_hour=None if nothing_new or not today.nodes else shares.packing_usd,
        savings_from_capacity_type_usd_per_hour=(
            None if nothing_new or not today.nodes else shares.capacity_type_usd
        ),
        expected_interruptions_per_day_before=accounting.interruptions_per_day(today.nodes),
        expected_interruptions_per_day_after=accounting.interruptions_per_day(after),
        baseline=baseline.baseline_rates(before_usd, running),
        notes=(
            *((CUT_SHORT,) if stop.has_stopped else ()),
            *start.notes,
            *_selector_wins(stubborn, rules),
            *avoided_notes(market, rules, template),
            *assurances.notes(assurance, judge),
        ),
        skip_reason=outcome.skip_reason,
        price_age_seconds=accounting.oldest_spot_price_seconds((*today.nodes, *after)),
        assurance=assurance,
        conflicts=(*settled.conflicts, *_conflicts(start, outcome.after, market, judge, rules)),
    )
    return Study(
        draft=draft,
        before=start,
        after=outcome.after,
        packer=packer,
        consolidator=consolidator,
        mover=mover,
        market=market,
    )


def _conflicts(
    start: FleetState, after: FleetState, market: Market, judge: SpotJudge, rules: PlanRules
) -> tuple[decision.Conflict, ...]:
    here = {n.node.name for n in start.nodes}
    launched = [n.offer for n in after.nodes if n.node.name not in here and n.offer is not None]
    refused: dict[str, str] = {}
    for pod in (p for n in after.nodes for p in n.movable):
        why = judge.refusal(pod)
        if why is not None and pod.owner is not None:
            refused.setdefault(f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}", why)
    return (
        *decision.kept_nodes(start.nodes),
        *decision.refused_spot(refused, rules),
        *decision.flagged_pools(market.prices().values(), launched),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    start: FleetState
    consolidator: Consolidator
    mover: Mover
    rules: PlanRules

    def outcome(self, mode: PlanMode) -> _Outcome:
        """Plan with headroom; without it where real pods would stand back for it."""
        asked = headroom.placeholders(self.rules)
        if mode is PlanMode.GREENFIELD:
            asked += headroom.nodes_wanted(self.rules.min_nodes)
        full = replace(self, start=replace(self.start, pending=(*self.start.pending, *asked)))
        found = full._planned(mode)
        waiting = len(headroom.without(found.after.pending))
        if asked and waiting:
            plain = self._planned(mode)
            if len(plain.after.pending) < waiting:
                after = replace(plain.after, pending=(*plain.after.pending, *asked))
                found = replace(plain, after=after)
        return replace(found, moves=_told(found.moves))

    def _planned(self, mode: PlanMode) -> _Outcome:
        return self.save() if mode is PlanMode.SAVE else self.make_room()

    def save(self) -> _Outcome:
        """Look for a fleet that is cheaper by more than the change to it costs; else at least make room."""
        room = self.make_room()
        if self.rules.consolidation is Consolidation.OFF:
            why = "The policy lets no node be given up."
            return replace(room, skip_reason=None if room.moves else why)
        if not any(n.kept_because is None for n in self.start.nodes):
            why = "No node may be changed." if self.start.nodes else "The cluster has no nodes."
            return replace(room, skip_reason=None if room.moves else why)
        known = sum(n.micro_usd for n in self.start.nodes if n.offer is not None)
        today = objective(room.after.nodes, self.consolidator.judge)
        wanted = max(round(known * self.rules.min_savings_ratio), 1)
        best = self._best_way(today, wanted, safeguards(self.start, room.after, self.consolidator.judge))
        if isinstance(best, str):
            return replace(room, skip_reason=None if room.moves else best)
        saved = today - objective(best.after.nodes, self.consolidator.judge)
        if saved < wanted:
            return replace(room, skip_reason=None if room.moves else _too_little(saved, known, self.rules))
        moves = self.mover.drafts(self.start, best)
        # Headroom may find room on a node of today where the plan that only makes room launched one.
        return _Outcome(best.after, moves, None if moves else _too_little(0, known, self.rules))

    def _best_way(self, today: int, wanted: int, guards: Safeguards) -> Way | str:
        """Give the way that is worth most, or say why there is none."""
        options = self.consolidator.options(self.start, guards)
        cheaper = [o for o in options if objective(o.after.nodes, self.consolidator.judge) < today]
        if not cheaper:
            return "No fleet was found that is cheaper than what runs now."
        broken = [guards.broken(o.after) for o in cheaper]
        cheaper = [o for o, why in zip(cheaper, broken, strict=True) if why is None]
        if not cheaper:
            return f"Cheaper fleets were found, but none within the policy: {broken[0]}"
        known = sum(n.micro_usd for n in self.start.nodes if n.offer is not None)
        gain = today - min(objective(o.after.nodes, self.consolidator.judge) for o in cheaper)
        if gain < wanted // 2:
            # Rehearsals add nodes, and seldom leave one out: what is far from enough stays so.
            return _too_little(gain, known, self.rules)
        promising = [o for o in cheaper if o.micro_rank < today]
        if not promising:
            return _no_payback(self.rules)
        moved = sum(len(n.movable) for n in self.start.nodes)
        ways: list[Way] = []
        limit = today
        for option in promising[: max(REHEARSED_OPTIONS_LEAST, REHEARSED_PODS // max(moved, 1))]:
            if option.micro_rank >= limit:
                break
            ways.append(self.mover.way(self.start, option.after, limit=limit))
            if not ways[-1].homeless:
                limit = min(limit, ways[-1].micro_rank)
        safe = [w for w in ways if not w.homeless]
        if self.rules.consolidation is Consolidation.DELETE_ONLY:
            # What is launched for pods that wait must not take in those of a node that goes.
            safe = [w for w in safe if not any(cut.launches and cut.drains for cut in w.cuts)]
            if not safe and any(not w.homeless for w in ways):
                return "A cheaper fleet was found, but only by replacing nodes, and the policy lets them only go."
        sound = sorted(
            (w for w in safe if guards.broken(w.after) is None), key=lambda w: (w.micro_rank, len(w.cuts))
        )
        if safe and not sound:
            return f"A cheaper fleet was found, but no way to it within the policy: {guards.broken(safe[0].after)}"
        if not sound:
            return (
                f"A cheaper fleet was found, but pod {ways[0].homeless[0]} might fit nowhere on the way to it,"
                " unless so many nodes are added that nothing is saved."
            )
        trimmed = [self._trimmed(w, guards) for w in sound[:TRIMMED_WAYS]]
        best = min(trimmed, key=lambda w: (w.micro_rank, len(w.cuts)))
        return best if best.micro_rank < today else _no_payback(self.rules)

    def _trimmed(self, way: Way, guards: Safeguards) -> Way:
        less = self.mover.trimmed(self.start, way)
        return less if guards.broken(less.after) is None else way

    def make_room(self) -> _Outcome:
        """Launch for pods that fit nowhere."""
        option = self.consolidator.evaluate(self.start, frozenset(), prefix="new-0-")
        if option is None:
            return _Outcome(self.start, (), "No pod is waiting for room.")
        moves = self.mover.drafts(self.start, self.mover.way(self.start, option.after))
        why = None
        if not moves:
            why = (
                "No offer takes the pods that wait."
                if option.after.pending
                else "No pod is waiting for room."
            )
        return _Outcome(option.after, moves, why)


def _told(moves: Sequence[MoveDraft]) -> tuple[MoveDraft, ...]:
    """Leave the placeholders of headroom out: a launch for headroom alone names no pod."""
    return tuple(
        replace(m, launches=tuple(replace(x, pods=headroom.told(x.pods)) for x in m.launches)) for m in moves
    )


def _no_payback(rules: PlanRules) -> str:
    return (
        "Cheaper fleets were found, but none would earn within"
        f" {rules.payback_seconds // 60} minutes what the change to it costs."
    )


def _too_little(gain: int, known: int, rules: PlanRules) -> str:
    if gain <= 0:
        return "No fleet was found that is cheaper than what runs now."
    share = gain / known if known else 0.0
    return (
        f"The best fleet found saves {share:.1%} ({gain / MICRO:.4g} USD/h), less than the"
        f" {rules.min_savings_ratio:.1%} that the policy asks for."
    )


def _selector_wins(pods: Sequence[str], rules: PlanRules) -> tuple[str, ...]:
    if rules.strategy is not Strategy.SPOT or not pods:
        return ()
    note = (
        f"{len(pods)} pods ask for on-demand by their node selector, {min(pods)} for one: they stay on, or get,"
        " on-demand nodes although the policy allows spot only."
    )
    return (note,)


def _without_nodes(objects: ClusterObjects) -> ClusterObjects:
    pods = (
        replace(p, node_name=None, phase=PodPhase.PENDING, scheduling_gated=False)
        if p.node_name is not None or p.phase is not PodPhase.PENDING or p.scheduling_gated
        else p
        for p in objects.pods
        if not (p.is_finished or p.is_daemon or p.is_mirror or p.is_terminating)
    )
    return replace(objects, nodes=(), pods=tuple(pods))


def _fleet(before: FleetState, after: FleetState) -> tuple[FleetNode, ...]:
    existing = {n.node.name for n in before.nodes}
    nodes: Sequence[FleetNode] = [
        FleetNode(
            n.node,
            None if n.offer is None else usd(n.offer.micro_usd),
            n.node.name if n.node.name in existing else None,
            headroom.told(sorted(p.key for p in n.movable)),
        )
        for n in after.nodes
    ]
    return tuple(nodes)
