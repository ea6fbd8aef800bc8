"""State a plan: what the fleet costs before and after, what no fleet can undercut, and what else is to be told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.optimizer.domain import (
    accounting,
    alternatives,
    assurances,
    baseline,
    bounds,
    decision,
    headroom,
    unmatched,
    unplaced,
)
from services.optimizer.domain.bounds import Bound
from services.optimizer.domain.columns.problem import Ending
from services.optimizer.domain.consolidation import objective
from services.optimizer.domain.covering import Cover
from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.drafts import FleetNode, PlanDraft, Unplaced
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.offers import Market, usd
from services.optimizer.domain.packing.fleet import Packer
from services.optimizer.domain.packing.shelf import build_shelf
from services.optimizer.domain.rules import PlanRules, Strategy
from services.optimizer.domain.searching import Outcome, PlanMode
from services.optimizer.domain.selection import avoided_notes, nothing_left_notes
from services.optimizer.domain.spot_tolerance import asks_for_on_demand
from shared.kernel.workload import ClusterObjects

CUT_SHORT = "The plan was cut by the time limit: another run may differ."
ALL_ZONES_COUNT = (
    "Pods that are to be spread over zones are spread over all zones in which they may run, and the bound is proven for"
    " such fleets alone. kube-scheduler counts only zones with nodes: fewer zones, named in the policy, may cost less."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafter:
    """Drafts plans for one cluster."""

    objects: ClusterObjects
    market: Market
    rules: PlanRules
    packer: Packer
    covered: Cover
    """What commitments that are left pay for."""
    conflicts: Sequence[decision.Conflict]
    """Between wishes, and who won."""
    was_stopped: Callable[[], bool]
    """Whether the search was told to stop before it was done."""

    def draft(
        self, today: FleetState, start: FleetState, outcome: Outcome, mode: PlanMode, *, priced: FleetState
    ) -> PlanDraft:
        """State what the search came to.

        Args:
            today: what runs.
            start: what the search started from: `today`, or no node.
            outcome: of the search.
            mode: what was asked for.
            priced: `start` at the prices that the bound is proven with.
        """
        judge = self.packer.grouper.judge
        after = outcome.after.nodes
        cost_before = accounting.cost(today.nodes) if today.nodes else None
        cost_after = accounting.cost(after)
        shares = accounting.split(today.nodes, after, self.market.prices(), self._holders(today, outcome))
        running = [p for n in today.nodes for p in n.movable]
        before_usd = None if cost_before is None else usd(cost_before)
        has_savings = bool(today.nodes) and (mode is PlanMode.GREENFIELD or bool(outcome.moves))
        bound = self._bound(priced, outcome, mode)
        stopped = self.was_stopped()
        ending = bound.ended_by if bound else Ending.CONVERGED
        assurance = assurances.assure(outcome.after, judge, self.market, self.packer.grouper.template)
        return PlanDraft(
            moves=outcome.moves,
            nodes=_fleet(today, outcome.after),
            unplaced=self._unplaced(today, outcome),
            nodes_before=len(today.nodes),
            nodes_after=len(after),
            cost_before_usd_per_hour=before_usd,
            cost_after_usd_per_hour=None if cost_after is None else usd(cost_after),
            objective_usd_per_hour=None if cost_after is None else usd(objective(after, judge)),
            lower_bound_usd_per_hour=None if bound is None else bound.usd_per_hour,
            bound_leaves_out=() if bound is None else bound.leaves_out,
            ended_by=Ending.STOPPED if stopped else ending,
            savings_from_packing_usd_per_hour=shares.packing_usd if has_savings else None,
            savings_from_capacity_type_usd_per_hour=shares.capacity_type_usd if has_savings else None,
            expected_interruptions_per_day_before=accounting.interruptions_per_day(today.nodes),
            expected_interruptions_per_day_after=accounting.interruptions_per_day(after),
            baseline=baseline.baseline_rates(before_usd, running),
            notes=(
                *((CUT_SHORT,) if stopped else ()),
                *((ALL_ZONES_COUNT,) if bound and bound.counts_all_zones else ()),
                *start.notes,
                *_selector_wins(stubborn_pods(self.objects), self.rules),
                *self._notes_on_offers(),
                *assurances.notes(assurance, judge),
            ),
            skip_reason=outcome.skip_reason,
            price_age_seconds=accounting.oldest_spot_price_seconds((*today.nodes, *after)),
            assurance=assurance,
            conflicts=(*self.conflicts, *self._conflicts(start, outcome.after)),
        )

    def _notes_on_offers(self) -> tuple[str, ...]:
        """Tell what the policy names in vain, or leaves too little of."""
        template = self.packer.grouper.template
        return (
            *(() if self.packer.shelf.offers else nothing_left_notes(self.market, self.rules, template)),
            *unmatched.notes(self.objects, self.market, self.rules, template),
            *avoided_notes(self.market, self.rules, template),
        )

    def _unplaced(self, today: FleetState, outcome: Outcome) -> tuple[Unplaced, ...]:
        homeless = headroom.without(outcome.after.pending)
        if not homeless:
            return ()
        return unplaced.explain_all(
            homeless,
            shelf=self.packer.shelf,
            market=self.market,
            grouper=self.packer.grouper,
            state=outcome.after.without(()),
            launched={n.node.name for n in outcome.after.nodes} - {n.node.name for n in today.nodes},
        )

    def _holders(self, today: FleetState, outcome: Outcome) -> dict[str, int]:
        """Give, by new node, what its load would cost on-demand at least, in micro-dollars an hour."""
        here = {n.node.name for n in today.nodes}
        after = outcome.after.nodes
        loads = {n.node.name: (n.offer, n.movable) for n in after if n.offer and n.node.name not in here}
        if not loads:
            return {}
        grouper, priced = self.packer.grouper, self.packer.shelf
        if self.rules.strategy is Strategy.SPOT:
            # What the loads would cost on-demand is asked although nothing may be bought that way.
            rules = replace(self.rules, strategy=Strategy.ON_DEMAND)
            priced = build_shelf(self.market, rules, grouper.template, daemon_sets(self.objects))
        claims = {v.key: v for v in today.objects.volumes} or None
        return alternatives.cheapest_on_demand(loads, priced, grouper, claims)

    def _bound(self, start: FleetState, outcome: Outcome, mode: PlanMode) -> Bound | None:
        stays = mode is PlanMode.PENDING
        return bounds.lower_bound(
            outcome.after,
            start,
            shelf=self.covered.at_dollar_price,
            prepaid=self.covered.prepaid_micro_usd,
            grouper=self.packer.grouper,
            fixed={n.node.name for n in start.nodes if stays or n.kept_because is not None},
            objective=objective(outcome.after.nodes, self.packer.grouper.judge),
            should_stop=self.packer.should_stop,
            proofs=self.packer.proofs,
        )

    def _conflicts(self, start: FleetState, after: FleetState) -> tuple[decision.Conflict, ...]:
        here = {n.node.name for n in start.nodes}
        launched = [n.offer for n in after.nodes if n.node.name not in here and n.offer is not None]
        refused: dict[str, str] = {}
        for pod in (p for n in after.nodes for p in n.movable):
            why = self.packer.grouper.judge.refusal(pod)
            if why is not None and pod.owner is not None:
                refused.setdefault(f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}", why)
        return (
            *decision.kept_nodes(start.nodes),
            *decision.refused_spot(refused, self.rules),
            *decision.flagged_pools(self.market.prices().values(), launched),
        )


def stubborn_pods(objects: ClusterObjects) -> list[str]:
    """Name the pods that ask for on-demand themselves, whatever the policy says."""
    return [p.key for p in objects.pods if asks_for_on_demand(p) and not p.is_daemon]


def _selector_wins(pods: Sequence[str], rules: PlanRules) -> tuple[str, ...]:
    if rules.strategy is not Strategy.SPOT or not pods:
        return ()
    note = (
        f"{len(pods)} pods ask for on-demand by their node selector, {min(pods)} for one: they stay on, or get,"
        " on-demand nodes although the policy allows spot only."
    )
    return (note,)


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
