"""An approval begins exactly the plan that was seen, or says why not."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from services.executor.domain.steps import ExecutionStatus, StepStatus
from services.executor.errors import PlanNotHereYetError
from services.executor.handlers.begin_execution import begin_execution
from services.executor.handlers.keep_plan import keep_plan
from services.executor.handlers.settle_command import settle_command
from services.executor.handlers.show_executions import get_execution, list_executions
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.agent import CommandFinished, CommandOutcome, OutcomeStatus
from shared.contracts.v1.executor import ExecutionFinished, GetExecution, ListExecutions
from shared.contracts.v1.optimizer import PlanProposed
from shared.contracts.v1.plan import MoveReason, PlanTrigger
from shared.kernel.errors import PermanentError
from tests.fakes.clock import FakeClock
from tests.fakes.executor import CountingIds, InMemoryExecutor, tools_for
from tests.fakes.executor_world import World
from tests.unit.executor.scenes import approval, begin, finish, make_plan, replace_move, three_nodes, turn

pytestmark = pytest.mark.looptime


def a_store() -> InMemoryExecutor:
    return InMemoryExecutor(World(FakeClock(), *three_nodes()))


async def test_a_changed_plan_is_refused() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    plan = make_plan(tools.clock, replace_move(1, "old-0"))
    execution = await begin(plan, store, tools, sha256="0" * 64)
    assert execution.status is ExecutionStatus.FAILED
    assert "not the one that was approved" in store.sent(ExecutionFinished)[0].detail
    assert store.steps() == []
    assert store.tables.plan_status[plan.id] == "refused"


async def test_a_plan_kept_in_another_form_than_its_digest_is_refused() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    seen = make_plan(tools.clock, replace_move(1, "old-0"))
    other = make_plan(tools.clock, replace_move(1, "old-1"))
    for plan in (other, seen):
        message = PlanProposed.make(
            scope="c1", clock=tools.clock, ids=CountingIds(), plan=plan, plan_sha256=plan_sha256(seen)
        )
        async with store() as uow:
            await keep_plan(message, uow=uow)
    async with store() as uow:
        await begin_execution(
            approval(seen, tools.clock), uow=uow, safe_mode=store.world, clock=tools.clock, ids=tools.ids
        )
    assert [e.status for e in store.tables.executions.values()] == [ExecutionStatus.FAILED]


async def test_an_expired_plan_is_refused() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    plan = make_plan(tools.clock, replace_move(1, "old-0"), expires_at=tools.clock.now())
    assert "expired" in (await begin(plan, store, tools)).detail


async def test_an_approval_that_overtook_its_plan_waits() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    with pytest.raises(PlanNotHereYetError):
        async with store() as uow:
            await begin_execution(
                approval(make_plan(tools.clock), tools.clock),
                uow=uow,
                safe_mode=store.world,
                clock=tools.clock,
                ids=tools.ids,
            )


async def test_another_organizations_plan_is_buried() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    with pytest.raises(PermanentError, match="another cluster or organization"):
        await begin(make_plan(tools.clock, organization_id="org2"), store, tools)


async def test_one_plan_at_a_time_in_a_cluster() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    first = await begin(make_plan(tools.clock, replace_move(1, "old-0")), store, tools)
    again = await begin(make_plan(tools.clock, replace_move(1, "old-0")), store, tools)
    assert again == first
    other = make_plan(tools.clock, replace_move(1, "old-1"), id=UUID(int=78))
    refused = await begin(other, store, tools)
    assert "another execution is under way" in refused.detail
    await finish(store, tools)
    third = make_plan(tools.clock, replace_move(1, "old-2"), id=UUID(int=79))
    assert (await begin(third, store, tools)).status is ExecutionStatus.RUNNING


async def test_autopilot_lets_the_cluster_settle() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    await begin(make_plan(tools.clock, replace_move(1, "old-0")), store, tools)
    await finish(store, tools)
    timed = make_plan(tools.clock, replace_move(1, "old-1"), id=UUID(int=78), trigger=PlanTrigger.TIMER)
    assert "settling" in (await begin(timed, store, tools, by="autopilot")).detail


async def test_a_move_that_saves_too_little_is_left_out() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    small = replace_move(1, "old-0").model_copy(
        update={"savings_usd_per_hour": Decimal("0.001"), "reason": MoveReason.UNDERUTILIZED}
    )
    await begin(make_plan(tools.clock, small, replace_move(2, "old-1")), store, tools)
    assert {s.move_id: s.status for s in store.steps()} == {
        "m1": StepStatus.SKIPPED,
        "m2": StepStatus.PENDING,
    }


async def test_a_move_that_costs_more_and_buys_less_risk_is_judged_by_its_worth() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    dearer = replace_move(1, "old-0").model_copy(
        update={"savings_usd_per_hour": Decimal("-0.002"), "worth_usd_per_hour": Decimal("0.04")}
    )
    riskier = replace_move(2, "old-1").model_copy(update={"worth_usd_per_hour": Decimal("0.001")})
    await begin(make_plan(tools.clock, dearer, riskier), store, tools)
    assert {s.move_id: s.status for s in store.steps()} == {
        "m1": StepStatus.PENDING,
        "m2": StepStatus.SKIPPED,
    }


async def test_an_outcome_of_another_clusters_agent_is_ignored() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    store.world.blocked = {"old-0": "shop/web-0-0"}
    await begin(make_plan(tools.clock, replace_move(1, "old-0")), store, tools)
    drain = next(s for s in store.steps() if s.kind == "drain")
    while drain.status is not StepStatus.RUNNING:
        await turn(store, tools)
        drain = store.tables.steps[drain.id]
    outcome = CommandOutcome(command_id=drain.id, status=OutcomeStatus.FAILED, blocked_by=("shop/web-pdb",))
    for scope, status in (("c2", StepStatus.RUNNING), ("c1", StepStatus.FAILED)):
        message = CommandFinished.make(scope=scope, clock=tools.clock, ids=CountingIds(), outcome=outcome)
        async with store() as uow:
            await settle_command(message, uow=uow, clock=tools.clock, ids=tools.ids)
        assert store.tables.steps[drain.id].status is status
    assert "shop/web-pdb" in store.tables.steps[drain.id].detail


async def test_executions_are_shown_newest_first_and_only_to_their_cluster() -> None:
    store = a_store()
    tools = tools_for(store.world, store)
    first = await begin(make_plan(tools.clock, replace_move(1, "old-0")), store, tools)
    await finish(store, tools)
    await tools.clock.sleep(timedelta(hours=1).total_seconds())
    second = await begin(make_plan(tools.clock, replace_move(1, "old-1"), id=UUID(int=78)), store, tools)

    async def listed(scope: str) -> list[UUID]:
        request = ListExecutions.make(scope=scope, clock=tools.clock, ids=CountingIds())
        return [e.id for e in (await list_executions(request, unit_of_work=store)).executions]

    assert await listed("c1") == [second.id, first.id]
    assert await listed("c2") == []
    for scope, steps in (("c1", 6), ("c2", 0)):
        request = GetExecution.make(scope=scope, clock=tools.clock, ids=CountingIds(), execution_id=first.id)
        assert len((await get_execution(request, unit_of_work=store)).steps) == steps
