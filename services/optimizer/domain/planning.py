"""Plan a cluster: from what runs and what is on offer to a fleet, and the moves that lead there.

Carrying out the moves of a plan and planning again gives no further ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from services.optimizer.domain import bounds, commitments, covering, decision, margins
from services.optimizer.domain.columns.solve import never
from services.optimizer.domain.consolidation import Consolidator, objective
from services.optimizer.domain.covering import Cover
from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.drafting import CUT_SHORT, Drafter, stubborn_pods
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.fleet_state import FleetState, read_state
from services.optimizer.domain.margins import Margin
from services.optimizer.domain.moving import Mover
from services.optimizer.domain.offers import MICRO, Market
from services.optimizer.domain.packing.fleet import LOOKING, THOROUGH, Packer
from services.optimizer.domain.packing.grouping import Grouper, selectors_meant
from services.optimizer.domain.packing.shelf import Shelf, build_shelf
from services.optimizer.domain.pools import price_of
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from services.optimizer.domain.searching import Outcome, PlanMode, Search
from services.optimizer.domain.sharpening import sharpest
from services.optimizer.domain.spot_tolerance import SpotJudge, spot_judge
from services.optimizer.domain.study import Study
from shared.kernel.workload import ClusterObjects, Pod, PodPhase

MARGINS = 2
"""Prices at the margin of a Savings Plan that is used up for which a fleet is looked for."""

__all__ = ["CUT_SHORT", "PlanMode", "plan", "study"]


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
    offered = rules
    if rules.strategy is Strategy.SPOT and stubborn_pods(objects):
        offered = replace(rules, strategy=Strategy.HYBRID)
    today = start = read_state(objects, market, rules, template, judge)
    if mode is PlanMode.GREENFIELD:
        start = read_state(_without_nodes(objects), market, rules, template, judge)
    listed = start
    bill = commitments.bill(start.nodes, rules.commitments)
    limited = commitments.limited_offers(bill.unused, market, template)
    today, start = (replace(s, nodes=commitments.priced(s.nodes, rules.commitments)) for s in (today, start))
    grouper = Grouper(rules, template, judge, selectors_meant(objects.pods))
    shelf = build_shelf(market, offered, template, daemon_sets(objects), limited=limited)
    covered = covering.cover(_may_get_new_nodes(start, mode), shelf, bill.unspent, grouper, should_stop=stop)
    taken = frozenset(n.name for n in objects.nodes)

    def searched(start: FleetState, shelf: Shelf) -> _Searched:
        effort = THOROUGH if mode is PlanMode.GREENFIELD else LOOKING
        packer = Packer(shelf, grouper, taken=taken, should_stop=stop, effort=effort)
        consolidator, mover = Consolidator(packer, judge, rules), Mover(packer, rules)
        outcome = Search(start, consolidator, mover, rules).outcome(mode)
        return _Searched(start, consolidator, mover, outcome, outcome)

    found = searched(start, shelf.with_limited(covered.offers))
    priced = start
    edge = margins.margin(listed.nodes, rules.commitments) if mode is PlanMode.SAVE else None
    if edge is not None:
        found = _billed(found, market, rules, template)
        proof = _proof(found, edge, listed, shelf, market, template, stop)
        is_enough = stop() or _is_proven(found, proof.micro_usd, rules, judge)
        for _ in range(0 if is_enough else MARGINS):
            other = _billed(searched(edge.state(listed), edge.shelf(shelf)), market, rules, template)
            if edge.holds(other.start, other.outcome.after, other.told.after):
                if other.outcome.moves and other.left(judge) < found.left(judge):
                    found = other
                break
            # What its own last dollar saves is what it should have been found at.
            further = margins.margin(_listed(other.outcome.after, market, template).nodes, rules.commitments)
            if further is None or further == edge or stop():
                break
            edge = further
        priced, left = proof.edge.bounded(proof.edge.state(listed), _fixed(start))
        covered = Cover(at_dollar_price=proof.edge.shelf(shelf), prepaid_micro_usd=left)
    drafter = Drafter(
        objects=objects,
        market=market,
        rules=rules,
        packer=found.consolidator.packer,
        covered=covered,
        conflicts=settled.conflicts,
        was_stopped=lambda: stop.has_stopped,
    )
    return Study(
        draft=drafter.draft(today, found.start, found.told, mode, priced=priced),
        before=start,
        after=found.told.after,
        searched=found.outcome.after,
        packer=found.consolidator.packer,
        consolidator=found.consolidator,
        mover=found.mover,
        market=market,
    )


@dataclass(frozen=True, slots=True)
class _Searched:
    """One search, and what it came to."""

    start: FleetState
    consolidator: Consolidator
    mover: Mover
    outcome: Outcome
    told: Outcome
    """The same with nodes at what they add to the bill."""

    def left(self, judge: SpotJudge) -> tuple[int, int]:
        """Give how many pods have no room, and what the fleet costs."""
        return len(self.told.after.pending), objective(self.told.after.nodes, judge)


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the price of a committed dollar that proves most comes to."""

    edge: Margin
    micro_usd: int


def _proof(
    found: _Searched,
    edge: Margin,
    listed: FleetState,
    shelf: Shelf,
    market: Market,
    template: Template,
    stop: Callable[[], bool],
) -> _Proof:
    """Prove what no fleet can undercut, at the price of a committed dollar that shows most."""
    after, packer, fixed = found.told.after, found.consolidator.packer, _fixed(listed)
    cost = objective(after.nodes, packer.grouper.judge)
    if any(n.offer is None for n in listed.nodes):
        return _Proof(edge, 0)

    def proven(worth: Fraction) -> int:
        at = replace(edge, worth=worth)
        priced, left = at.bounded(at.state(listed), fixed)
        bound = bounds.lower_bound(
            after,
            priced,
            shelf=at.shelf(shelf),
            grouper=packer.grouper,
            fixed=fixed,
            objective=cost,
            prepaid=left,
            should_stop=stop,
            proofs=packer.proofs,
        )
        return 0 if bound is None else round(bound.usd_per_hour * MICRO)

    own = margins.margin(_listed(after, market, template).nodes, edge.bought)
    worth, micro_usd = sharpest(
        proven,
        (edge.worth, *(() if own is None else (own.worth,))),
        most=edge.most(shelf, listed),
        dollars=edge.dollars,
        objective=cost,
        should_stop=stop,
    )
    return _Proof(replace(edge, worth=worth), micro_usd)


def _is_proven(found: _Searched, bound: int, rules: PlanRules, judge: SpotJudge) -> bool:
    """Whether no fleet saves what the policy asks of a plan, beside the fleet that was found."""
    pending, cost = found.left(judge)
    return not pending and cost - bound < max(round(cost * rules.min_savings_ratio), 1)


def _fixed(fleet: FleetState) -> frozenset[str]:
    return frozenset(n.node.name for n in fleet.nodes if n.kept_because is not None)


def _billed(found: _Searched, market: Market, rules: PlanRules, template: Template) -> _Searched:
    """Tell the fleet at what its nodes will add to the bill: what those that go set free may cover others."""
    after = _listed(found.outcome.after, market, template)
    after = replace(after, nodes=commitments.priced(after.nodes, rules.commitments))
    return replace(found, told=replace(found.outcome, after=after))


def _listed(fleet: FleetState, market: Market, template: Template) -> FleetState:
    """Give a fleet at list price."""
    prices = market.prices()
    return replace(
        fleet, nodes=tuple(replace(n, offer=price_of(n.node, prices, template)) for n in fleet.nodes)
    )


def _may_get_new_nodes(start: FleetState, mode: PlanMode) -> list[Pod]:
    moving = [] if mode is PlanMode.PENDING else [n for n in start.nodes if n.kept_because is None]
    return [*(p for n in moving for p in n.movable), *start.pending]


def _without_nodes(objects: ClusterObjects) -> ClusterObjects:
    pods = (
        replace(p, node_name=None, phase=PodPhase.PENDING, scheduling_gated=False)
        if p.node_name is not None or p.phase is not PodPhase.PENDING or p.scheduling_gated
        else p
        for p in objects.pods
        if not (p.is_finished or p.is_daemon or p.is_mirror or p.is_terminating)
    )
    return replace(objects, nodes=(), pods=tuple(pods))
