"""Plans as the optimizer would propose them."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.contracts.digest import plan_sha256
from shared.contracts.v1.optimizer import PlanProposed
from shared.contracts.v1.plan import (
    Launch,
    Move,
    MoveKind,
    MoveReason,
    OfferingChoice,
    Plan,
    PlanInputs,
    PlanTrigger,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_instance_type

PLAN_ID = UUID("01900000-0000-7000-8000-0000000000aa")


def make_move(kind: MoveKind = MoveKind.REPLACE, **fields: Any) -> Move:
    """Replace node-1 by a spot instance, which saves $0.10 an hour."""
    pool = PoolKey(
        "us-east-1",
        fields.pop("instance_type", "m5.large"),
        "use1-az1",
        fields.pop("capacity_type", CapacityType.SPOT),
    )
    launch = Launch(id="launch-1", offerings=(OfferingChoice(pool=pool, usd_per_hour=Decimal("0.05")),))
    return Move(
        id=fields.pop("id", "move-1"),
        kind=kind,
        reason=MoveReason.CHEAPER_OFFERING,
        launches=() if kind is MoveKind.DELETE else (launch,),
        drains=() if kind is MoveKind.LAUNCH else ("node-1",),
        savings_usd_per_hour=fields.pop("savings", Decimal("0.10")),
        explanation="It is cheaper.",
        **fields,
    )


def make_plan(*, organization_id: str, cluster_id: str, now: datetime, **fields: Any) -> Plan:
    """A plan of one move that lives an hour; every type it launches has 2 vCPU and 8 GiB."""
    inputs = PlanInputs(
        cluster_epoch=1,
        cluster_sequence=1,
        policy_revision=fields.pop("policy_revision", 1),
        prices_as_of=now,
        price_age_seconds=fields.pop("price_age_seconds", 60),
        risk_source="spot_advisor",
    )
    moves = fields.pop("moves", (make_move(),))
    choices = [c for move in moves for launch in move.launches for c in launch.offerings]
    values: dict[str, Any] = {
        "id": PLAN_ID,
        "trigger": PlanTrigger.TIMER,
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
        "nodes_before": 2,
        "nodes_after": 2,
        "cost_before_usd_per_hour": Decimal("0.40"),
        "cost_after_usd_per_hour": Decimal("0.30"),
        "moves": moves,
        "instance_types": tuple(
            make_instance_type(name, vcpus=2, gib=8)
            for name in sorted({c.pool.instance_type for c in choices})
        ),
        **fields,
    }
    return Plan(organization_id=organization_id, cluster_id=cluster_id, inputs=inputs, **values)


def proposed(plan: Plan, *, clock: Clock, ids: Ids, **fields: Any) -> PlanProposed:
    """The event that carries a plan."""
    return PlanProposed.make(
        scope=fields.pop("scope", plan.cluster_id),
        clock=clock,
        ids=ids,
        plan=plan,
        plan_sha256=fields.pop("sha256", plan_sha256(plan)),
    )
