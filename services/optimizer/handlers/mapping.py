"""Between the contracts' words and the domain's: quotes become offers, a policy becomes rules, a draft a plan."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from services.optimizer.domain import decision
from services.optimizer.domain.drafts import LaunchDraft, MoveDraft, PlanDraft
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.rules import (
    Commitments,
    Consolidation,
    ConsolidationLevel,
    HeadroomShape,
    Objective,
    OnDemandFloor,
    PlanRules,
    ReservedInstances,
    SavingsPlan,
    Strategy,
    Template,
    Zone,
)
from services.optimizer.handlers import assurances
from services.optimizer.ports import Cluster, ClusterView, Config
from shared.contracts.v1 import policy as policies
from shared.contracts.v1.plan import (
    BaselineRate,
    Conflict,
    DecisionParty,
    Launch,
    Move,
    MoveKind,
    MoveReason,
    OfferingChoice,
    Plan,
    PlanEnding,
    PlanInputs,
    PlanTrigger,
    UnplacedPod,
)
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.contracts.v1.pricing import OfferingQuotes
from shared.kernel.capacity import InstanceType
from shared.kernel.pool_flags import PoolFlag, PoolFlags

MICRO_USD = Decimal("0.000001")
MICRO_CENT = Decimal("0.00000001")
"""Baseline rates are multiplied by thousands of hours: they keep more digits."""


def market_from(answer: OfferingQuotes, *, now: datetime) -> Market:
    """Give the market as its flags leave it; a stale quote carries its margin already."""
    flags = (PoolFlag(f.pool, f.reason.value, f.raised_at, f.expires_at) for f in answer.flags)
    flagged = PoolFlags(flags, now=now)
    offers: list[Offer] = []
    for quote in answer.quotes:
        raised = flagged.of(quote.pool)
        offers.append(
            Offer(
                pool=quote.pool,
                usd_per_hour=float(quote.usd_per_hour),
                interruption_probability=flagged.probability(quote.pool, quote.interruption_probability),
                age_seconds=quote.age_seconds,
                flagged_since=raised.flag.raised_at if raised is not None and raised.is_avoided else None,
            )
        )
    return Market(
        instance_types={t.name: t for t in answer.instance_types}, offers=tuple(offers), as_of=answer.as_of
    )


def rules_from(policy: Policy) -> PlanRules:
    """Give what planning needs of a policy."""
    return PlanRules(
        strategy=Strategy(policy.strategy.value),
        instance_families=frozenset(policy.instance_families),
        instance_sizes=frozenset(policy.instance_sizes),
        excluded_instance_types=frozenset(policy.excluded_instance_types),
        zones=frozenset(policy.zones),
        architectures=frozenset(policy.architectures),
        allow_burstable=policy.allow_burstable,
        allow_bare_metal=policy.allow_bare_metal,
        allow_gpu=policy.allow_gpu,
        gpu_families=frozenset(policy.gpu_families),
        min_vcpus=policy.min_vcpus,
        max_vcpus=policy.max_vcpus,
        min_memory_bytes=policy.min_memory_bytes,
        max_memory_bytes=policy.max_memory_bytes,
        max_usd_per_hour=policy.max_usd_per_hour,
        excluded_namespaces=frozenset(policy.excluded_namespaces),
        min_savings_ratio=policy.min_savings_ratio,
        min_move_savings_usd_per_hour=policy.min_move_savings_usd_per_hour,
        max_pool_share_ratio=policy.max_pool_share_ratio,
        max_cluster_pool_share_ratio=policy.max_cluster_pool_share_ratio,
        max_zone_share_ratio=policy.max_zone_share_ratio,
        price_max_age_seconds=policy.price_max_age_seconds,
        objective=Objective(policy.objective.value),
        usd_per_restart=policy.usd_per_restart,
        restart_seconds=policy.restart_seconds,
        usd_per_downtime_hour=policy.usd_per_downtime_hour,
        usd_per_unmet_preference_hour=policy.usd_per_unmet_preference_hour,
        unknown_interruption_probability=policy.unknown_interruption_probability,
        spot_workloads=policy.spot_workloads,
        on_demand_workloads=policy.on_demand_workloads,
        on_demand_floors=tuple(OnDemandFloor(f.workload, f.replicas) for f in policy.on_demand_floors),
        headroom=tuple(HeadroomShape(h.cpu_millicores, h.memory_bytes, h.count) for h in policy.headroom),
        min_nodes=policy.min_nodes,
        commitments=commitments_from(policy.commitments),
        consolidation=Consolidation(policy.consolidation.value),
        consolidation_level=ConsolidationLevel(policy.consolidation_level.value),
        payback_seconds=policy.payback_seconds,
        usd_per_moved_pod=policy.usd_per_moved_pod,
        min_node_age_seconds=policy.min_node_age_seconds,
        max_disrupted_nodes_ratio=policy.max_disrupted_nodes_ratio,
    )


def commitments_from(written: policies.Commitments) -> Commitments:
    """Give what is paid for already."""
    return Commitments(
        reserved_instances=tuple(
            ReservedInstances(
                instance_type=r.instance_type,
                count=r.count,
                zone=r.zone,
                is_size_flexible=r.is_size_flexible,
            )
            for r in written.reserved_instances
        ),
        savings_plans=tuple(
            SavingsPlan(usd_per_hour=s.usd_per_hour, rates=s.rates, instance_family=s.instance_family)
            for s in written.savings_plans
        ),
    )


def template_from(template: NodeTemplate) -> Template:
    """Give where nodes may be launched; a zone with several subnets counts once."""
    zones = {subnet.zone_id: Zone(subnet.zone, subnet.zone_id) for subnet in template.subnets}
    return Template(
        zones=tuple(zones[z] for z in sorted(zones)),
        labels=template.labels,
        prefix_delegation=template.prefix_delegation,
        max_pods=template.max_pods,
        ami_family=template.ami_family,
    )


def plan_from(
    draft: PlanDraft,
    *,
    plan_id: UUID,
    cluster: Cluster,
    config: Config,
    view: ClusterView,
    answer: OfferingQuotes,
    trigger: PlanTrigger,
    now: datetime,
    lifetime: timedelta,
    solve_seconds: float,
    digest: str | None = None,
) -> Plan:
    """Write a draft down as the plan that everybody will read."""
    plan = Plan(
        id=plan_id,
        organization_id=cluster.organization_id,
        cluster_id=cluster.cluster_id,
        trigger=trigger,
        created_at=now,
        expires_at=now + lifetime,
        inputs=PlanInputs(
            cluster_epoch=view.position.epoch,
            cluster_sequence=view.position.sequence,
            policy_revision=config.revision,
            prices_as_of=answer.as_of,
            price_sources=answer.sources,
            price_age_seconds=draft.price_age_seconds,
            risk_source=", ".join(sorted(answer.risk_sources)) or "none",
            digest=digest,
        ),
        nodes_before=draft.nodes_before,
        nodes_after=draft.nodes_after,
        cost_before_usd_per_hour=_usd(draft.cost_before_usd_per_hour),
        cost_after_usd_per_hour=_usd(draft.cost_after_usd_per_hour),
        savings_from_packing_usd_per_hour=_usd(draft.savings_from_packing_usd_per_hour),
        savings_from_capacity_type_usd_per_hour=_usd(draft.savings_from_capacity_type_usd_per_hour),
        objective_usd_per_hour=_usd(draft.objective_usd_per_hour),
        lower_bound_usd_per_hour=_usd(draft.lower_bound_usd_per_hour),
        gap_ratio=draft.gap_ratio,
        bound_leaves_out=draft.bound_leaves_out,
        ended_by=PlanEnding(draft.ended_by.value),
        expected_interruptions_per_day_before=draft.expected_interruptions_per_day_before,
        expected_interruptions_per_day_after=draft.expected_interruptions_per_day_after,
        baseline_rate=(
            BaselineRate(
                usd_per_vcpu_hour=_rate(draft.baseline.usd_per_vcpu_hour),
                usd_per_gib_hour=_rate(draft.baseline.usd_per_gib_hour),
            )
            if draft.baseline
            else None
        ),
        moves=tuple(map(_move, draft.moves)),
        instance_types=_launched_types(draft, answer),
        unplaced=tuple(UnplacedPod(pod=u.pod, reasons=u.reasons) for u in draft.unplaced),
        conflicts=tuple(map(_conflict, draft.conflicts)),
        notes=draft.notes,
        solve_seconds=solve_seconds,
    )
    return assurances.assured(plan, draft.assurance)


def _move(draft: MoveDraft) -> Move:
    return Move(
        id=draft.id,
        kind=MoveKind(draft.kind.value),
        reason=MoveReason(draft.reason.value),
        launches=tuple(map(_launch, draft.launches)),
        drains=draft.drains,
        savings_usd_per_hour=Decimal(str(draft.savings_usd_per_hour)).quantize(MICRO_USD),
        worth_usd_per_hour=_usd(draft.worth_usd_per_hour),
        disruption_pods=draft.disruption_pods,
        disruption_usd=Decimal(str(draft.disruption_usd)).quantize(MICRO_USD),
        payback_seconds=draft.payback_seconds,
        interruptions_per_day_before=draft.interruptions_per_day_before,
        interruptions_per_day_after=draft.interruptions_per_day_after,
        explanation=draft.explanation,
        runner_up=draft.runner_up,
        runner_up_extra_usd_per_hour=_usd(draft.runner_up_extra_usd_per_hour),
        binding_constraint=draft.binding_constraint,
    )


def _launched_types(draft: PlanDraft, answer: OfferingQuotes) -> tuple[InstanceType, ...]:
    offers = [offer for move in draft.moves for launch in move.launches for offer in launch.offers]
    names = {offer.pool.instance_type for offer in offers}
    return tuple(sorted((t for t in answer.instance_types if t.name in names), key=lambda t: t.name))


def _conflict(found: decision.Conflict) -> Conflict:
    return Conflict(
        subject=found.subject,
        wish=found.wish,
        wished_by=DecisionParty(found.wished_by.value),
        objection=found.objection,
        held_by=DecisionParty(found.held_by.value),
        winner=DecisionParty(found.winner.value),
        forgone_usd_per_hour=_usd(found.forgone_usd_per_hour),
    )


def _launch(draft: LaunchDraft) -> Launch:
    return Launch(
        id=draft.id,
        offerings=tuple(
            OfferingChoice(
                pool=offer.pool,
                usd_per_hour=Decimal(str(offer.usd_per_hour)).quantize(MICRO_USD),
                interruption_probability=offer.interruption_probability,
            )
            for offer in draft.offers
        ),
        pods=draft.pods,
    )


def _usd(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(MICRO_USD)


def _rate(value: float) -> Decimal:
    return Decimal(str(value)).quantize(MICRO_CENT)
