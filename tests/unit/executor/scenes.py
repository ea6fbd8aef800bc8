"""A plan over a small cluster, and turns until it ends."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from services.executor.domain.steps import Execution, ExecutionStatus
from services.executor.handlers.advance_execution import advance_execution
from services.executor.handlers.begin_execution import begin_execution
from services.executor.handlers.scene import Tools
from services.executor.ports import KeptPlan
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.gateway import PlanApproved
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
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node, Pod
from tests.builders import make_node, make_pod, make_pool
from tests.fakes.clock import FakeClock
from tests.fakes.executor import CountingIds, InMemoryExecutor, tools_for
from tests.fakes.executor_world import CLUSTER, World

SPOT_A = make_pool(capacity_type=CapacityType.SPOT)
SPOT_B = make_pool(capacity_type=CapacityType.SPOT, zone_id="use1-az2")
ON_DEMAND = make_pool()
PLAN_ID = UUID(int=77)


def offering(pool: PoolKey, usd: str = "0.05") -> OfferingChoice:
    return OfferingChoice(pool=pool, usd_per_hour=Decimal(usd))


def replace_move(
    number: int, *drains: str, pools: Sequence[PoolKey] = (SPOT_A, SPOT_B), launches: int = 1
) -> Move:
    return Move(
        id=f"m{number}",
        kind=MoveKind.REPLACE,
        reason=MoveReason.CHEAPER_OFFERING,
        launches=tuple(
            Launch(id=f"l{number}-{n}", offerings=tuple(offering(p) for p in pools)) for n in range(launches)
        ),
        drains=drains,
        savings_usd_per_hour=Decimal("0.10"),
        explanation="cheaper",
    )


def delete_move(number: int, *drains: str) -> Move:
    return Move(
        id=f"m{number}",
        kind=MoveKind.DELETE,
        reason=MoveReason.EMPTY,
        drains=drains,
        savings_usd_per_hour=Decimal("0.10"),
        explanation="not needed",
    )


def make_plan(
    clock: Clock, *moves: Move, trigger: PlanTrigger = PlanTrigger.ON_DEMAND, **fields: object
) -> Plan:
    now = clock.now()
    values: dict[str, object] = {
        "id": PLAN_ID,
        "organization_id": CLUSTER.organization_id,
        "cluster_id": CLUSTER.cluster_id,
        "trigger": trigger,
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
        "inputs": PlanInputs(
            cluster_epoch=1,
            cluster_sequence=1,
            policy_revision=1,
            prices_as_of=now,
            price_age_seconds=0,
            risk_source="spot_advisor",
        ),
        "nodes_before": 3,
        "nodes_after": 3,
        "cost_before_usd_per_hour": Decimal("0.6"),
        "cost_after_usd_per_hour": Decimal("0.2"),
        "moves": moves,
    }
    return Plan.model_validate(values | fields)


def approval(plan: Plan, clock: Clock, *, sha256: str | None = None, by: str = "user-1") -> PlanApproved:
    return PlanApproved.make(
        scope=plan.cluster_id,
        clock=clock,
        ids=CountingIds(),
        organization_id=plan.organization_id,
        plan_id=plan.id,
        plan_sha256=sha256 or plan_sha256(plan),
        approved_by=by,
    )


async def begin(plan: Plan, store: InMemoryExecutor, tools: Tools, **fields: str) -> Execution:
    """Keep a plan and approve it."""
    store.tables.plans[plan.id] = KeptPlan(plan, plan_sha256(plan))
    async with store() as uow:
        await begin_execution(
            approval(plan, tools.clock, **fields),
            uow=uow,
            safe_mode=tools.safe_mode,
            clock=tools.clock,
            ids=tools.ids,
        )
    return next(e for e in store.tables.executions.values() if e.plan_id == plan.id)


async def turn(store: InMemoryExecutor, tools: Tools, *, token: int = 1) -> None:
    """Give every execution under way one turn, then let half a second pass."""
    for execution in list(store.tables.executions.values()):
        if execution.status is ExecutionStatus.RUNNING:
            in_flight = store.in_flight.setdefault(execution.id, {})
            try:
                await advance_execution(execution.id, token=token, tools=tools, in_flight=in_flight)
            except BaseException:
                await store.kill()
                raise
    await tools.clock.sleep(0.5)


async def finish(store: InMemoryExecutor, tools: Tools, *, turns: int = 8000, token: int = 1) -> None:
    """Give turns until nothing is under way."""
    for _ in range(turns):
        if all(e.status is not ExecutionStatus.RUNNING for e in store.tables.executions.values()):
            return
        await turn(store, tools, token=token)
    left = [(s.kind, s.subject, s.status, s.detail) for s in store.steps() if not s.status.is_over]
    raise AssertionError(f"not finished after {turns} turns: {left}")


async def carry_out(store: InMemoryExecutor, *moves: Move) -> Execution:
    """Plan these moves and carry them out; give the execution as it ended."""
    tools = tools_for(store.world, store)
    execution = await begin(make_plan(tools.clock, *moves), store, tools)
    await finish(store, tools)
    return store.tables.executions[execution.id]


def three_nodes() -> tuple[list[Node], list[Pod]]:
    """Three on-demand nodes of 4 cores, each with three pods of one core."""
    nodes = [make_node(f"old-{n}") for n in range(3)]
    pods = [make_pod(f"web-{n}-{k}", cpu=1000, node=f"old-{n}") for n in range(3) for k in range(3)]
    return nodes, pods


def a_world() -> World:
    """Those nodes in a world that begins now."""
    nodes, pods = three_nodes()
    return World(FakeClock(), nodes, pods)
