"""What a plan says for itself beside its cost, in the words of the contracts."""

from decimal import Decimal
from typing import Any

from services.optimizer.domain.assurances import Assurance
from services.optimizer.domain.offers import usd
from shared.contracts.v1.plan import (
    CommitmentUse,
    HeadroomKept,
    ObjectiveParts,
    Plan,
    PoolLoss,
    ResidualRisk,
    SpotTolerance,
    UnusedInstances,
    WorkloadAtRisk,
)
from shared.contracts.v1.policy import Objective

MICRO_USD = Decimal("0.000001")


def assured(plan: Plan, assurance: Assurance | None) -> Plan:
    """Give the plan with what it says for itself."""
    if assurance is None:
        return plan
    return plan.model_copy(
        update={
            "objective_parts": objective_parts(assurance),
            "residual_risk": residual_risk(assurance, plan.expected_interruptions_per_day_after),
            "at_risk": at_risk(assurance),
            "spot_tolerance": spot_tolerance(assurance),
            "headroom": headroom(assurance),
            "commitments": commitments(assurance),
        }
    )


def document(assurance: Assurance, interruptions_per_day: float | None) -> dict[str, Any]:
    """Give the same as plain values, for the command line."""
    use = commitments(assurance)
    return {
        "objective_parts": objective_parts(assurance).model_dump(mode="json"),
        "residual_risk": residual_risk(assurance, interruptions_per_day).model_dump(mode="json"),
        "at_risk": [x.model_dump(mode="json") for x in at_risk(assurance)],
        "spot_tolerance": [x.model_dump(mode="json") for x in spot_tolerance(assurance)],
        "headroom": [x.model_dump(mode="json") for x in headroom(assurance)],
        "commitments": None if use is None else use.model_dump(mode="json"),
    }


def objective_parts(assurance: Assurance) -> ObjectiveParts:
    """Give what the objective is made of."""
    found = assurance.objective
    return ObjectiveParts(
        objective=Objective(found.objective.value),
        risk_weight=found.risk_weight,
        price_usd_per_hour=_usd(usd(found.price)),
        risk_usd_per_hour=_usd(usd(found.risk)),
        preferences_usd_per_hour=_usd(usd(found.preferences)),
        assumed_pools=found.assumed_pools,
    )


def residual_risk(assurance: Assurance, interruptions_per_day: float | None) -> ResidualRisk:
    """Give what can still go wrong."""
    worst = assurance.worst_pool_loss
    return ResidualRisk(
        expected_interruptions_per_day=interruptions_per_day,
        worst_pool_loss=None
        if worst is None
        else PoolLoss(
            pool=worst.pool,
            nodes=worst.nodes,
            pods=worst.pods,
            vcpu_share_ratio=worst.vcpu_share_ratio,
            below_minimum=worst.below_minimum,
        ),
        breaches=assurance.breaches,
    )


def at_risk(assurance: Assurance) -> tuple[WorkloadAtRisk, ...]:
    """Give the workloads that are not safe on spot."""
    return tuple(WorkloadAtRisk(workload=x.workload, reason=x.reason) for x in assurance.at_risk)


def spot_tolerance(assurance: Assurance) -> tuple[SpotTolerance, ...]:
    """Give who may use spot, and why."""
    return tuple(
        SpotTolerance(
            workload=x.workload,
            may_use_spot=x.may_use_spot,
            decided_by=x.decided_by.value,
            reason=x.reason,
            pods=x.pods,
        )
        for x in assurance.tolerance
    )


def headroom(assurance: Assurance) -> tuple[HeadroomKept, ...]:
    """Give how much of the headroom has room."""
    return tuple(
        HeadroomKept(
            cpu_millicores=x.shape.cpu_millicores,
            memory_bytes=x.shape.memory_bytes,
            wanted=x.shape.count,
            placed=x.placed,
        )
        for x in assurance.headroom
    )


def commitments(assurance: Assurance) -> CommitmentUse | None:
    """Give what is covered, and what is paid for in vain."""
    use = assurance.commitments
    if use is None:
        return None
    return CommitmentUse(
        covered_nodes=use.covered_nodes,
        unused_instances=tuple(UnusedInstances(instance_type=t, count=n) for t, n in use.unused_instances),
        unused_usd_per_hour=_usd(use.unused_usd_per_hour),
    )


def _usd(value: float) -> Decimal:
    return Decimal(str(value)).quantize(MICRO_USD)
