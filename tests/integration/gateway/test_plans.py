"""Plans: asked for, kept, approved once, carried out, watched."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.gateway.adapters.postgres import factory
from services.gateway.handlers.receive_plan import receive_plan
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.executor import (
    ExecutionReply,
    Executions,
    ExecutionStatus,
    ExecutionView,
    GetExecution,
    ListExecutions,
    StepKind,
    StepStatus,
    StepView,
)
from shared.contracts.v1.gateway import ExecutionStopRequested, PlanApproved
from shared.contracts.v1.optimizer import (
    GetPlan,
    ListPlans,
    PlanReply,
    Plans,
    PlanSummary,
    ProposePlan,
)
from shared.contracts.v1.plan import Plan
from shared.contracts.v1.reporting import Activity, Audit, GetActivity, GetAudit, GetSavings, Savings
from tests.fakes.gateway import SteadyIds
from tests.fakes.gateway_plans import PLAN_ID, make_plan, proposed
from tests.integration.gateway.stage import Stage

pytestmark = pytest.mark.postgres

EXECUTION_ID = UUID("01900000-0000-7000-8000-0000000000ee")


async def receive(stage: Stage, granted: dict[str, Any], cluster_id: str, **fields: Any) -> Plan:
    plan = make_plan(
        organization_id=granted["organization"]["id"],
        cluster_id=cluster_id,
        now=stage.clock.now(),
        **fields,
    )
    ids = SteadyIds()
    async with factory(stage.database)() as uow:
        await receive_plan(proposed(plan, clock=stage.clock, ids=ids), uow=uow, clock=stage.clock, ids=ids)
    return plan


async def test_optimize_sends_a_command(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    status, answer = await stage.call("POST", f"/clusters/{cluster_id}/optimize", token=token)
    assert status == 202
    (body,) = await stage.sent(ProposePlan.type)
    command = ProposePlan.model_validate_json(body)
    assert (command.scope, str(command.correlation_id)) == (cluster_id, answer["correlation_id"])


async def test_a_plan_is_approved_once(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    plan = await receive(stage, granted, cluster_id)
    path = f"/clusters/{cluster_id}/plans/{PLAN_ID}/approve"
    status, problem = await stage.call("POST", path, {"sha256": "0" * 64}, token=token)
    assert (status, await stage.sent(PlanApproved.type)) == (409, []), problem
    status, first = await stage.call("POST", path, {"sha256": plan_sha256(plan)}, token=token)
    assert status == 200
    stage.clock.move(timedelta(minutes=5))
    assert await stage.call("POST", path, token=token) == (200, first)
    (body,) = await stage.sent(PlanApproved.type)
    approval = PlanApproved.model_validate_json(body)
    assert (approval.plan_id, approval.plan_sha256) == (PLAN_ID, plan_sha256(plan))
    assert approval.approved_by == first["approved_by"]


async def test_an_expired_and_an_unknown_plan_are_not_approved(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    plan = await receive(stage, granted, cluster_id)
    path = f"/clusters/{cluster_id}/plans"
    assert (await stage.call("POST", f"{path}/{EXECUTION_ID}/approve", token=token))[0] == 404
    assert (await stage.call("POST", f"{path}/nonsense/approve", token=token))[0] == 404
    status, problem = await stage.call("POST", f"{path}/{PLAN_ID}/approve", {"sha256": 7}, token=token)
    assert (status, problem["errors"][0]["field"]) == (422, "sha256")
    stage.clock.move(timedelta(minutes=14))
    await stage.call("GET", "/me", token=token)
    _, fresh = await stage.call("POST", "/auth/refresh", {"refresh_token": granted["refresh_token"]})
    stage.clock.move(timedelta(minutes=46))
    _, fresh = await stage.call("POST", "/auth/refresh", {"refresh_token": fresh["refresh_token"]})
    status, problem = await stage.call("POST", f"{path}/{PLAN_ID}/approve", token=fresh["access_token"])
    assert (status, problem["detail"]) == (409, "The plan has expired; ask for a new one.")
    stage.others.answers[GetPlan] = PlanReply(plan=plan, plan_sha256=plan_sha256(plan))
    _, shown = await stage.call("GET", f"{path}/{PLAN_ID}", token=fresh["access_token"])
    assert shown["is_approvable"] is False


async def test_autopilot_approves_at_once(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    connected = await stage.connect_cluster(token, policy={"approval": "autopilot"})
    plan = await receive(stage, granted, connected["cluster"]["id"])
    (body,) = await stage.sent(PlanApproved.type)
    assert PlanApproved.model_validate_json(body).approved_by == "autopilot"
    stage.others.answers[GetPlan] = PlanReply(plan=plan, plan_sha256=plan_sha256(plan))
    path = f"/clusters/{connected['cluster']['id']}/plans/{PLAN_ID}"
    status, shown = await stage.call("GET", path, token=token)
    assert status == 200
    assert (shown["approved_by"], shown["is_approvable"]) == ("autopilot", False)
    assert shown["plan"]["moves"][0]["savings_usd_per_hour"] == "0.10"


async def test_plans_are_listed_with_what_was_decided(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    plan = await receive(stage, granted, cluster_id)
    summary = PlanSummary(
        id=PLAN_ID,
        created_at=plan.created_at,
        trigger=plan.trigger,
        nodes_before=2,
        nodes_after=2,
        cost_before_usd_per_hour=plan.cost_before_usd_per_hour,
        cost_after_usd_per_hour=plan.cost_after_usd_per_hour,
        moves=1,
        unplaced=0,
    )
    unseen = summary.model_copy(update={"id": EXECUTION_ID})
    stage.others.answers[ListPlans] = Plans(plans=(unseen, summary), last_skip_reason="Nothing to gain.")
    status, listed = await stage.call("GET", f"/clusters/{cluster_id}/plans?limit=5", token=token)
    assert status == 200
    assert [line["is_approvable"] for line in listed["plans"]] == [False, True]
    assert listed["plans"][1]["decision_note"] == "The policy asks a person."
    assert listed["last_skip_reason"] == "Nothing to gain."
    status, problem = await stage.call("GET", f"/clusters/{cluster_id}/plans?limit=0", token=token)
    assert (status, problem["errors"][0]["field"]) == (422, "limit")


@pytest.mark.parametrize(
    "path", ["/clusters/{}/plans", "/clusters/{}/executions", "/savings", "/activity", "/audit"]
)
async def test_a_service_that_does_not_answer_is_a_503(stage: Stage, path: str) -> None:
    token = (await stage.sign_up())["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    headers = {"Authorization": f"Bearer {token}"}
    async with stage.client.get(f"/api/v1{path.format(cluster_id)}", headers=headers) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "nobody serves" not in await answer.text()


async def test_reports_are_asked_for_the_callers_organization(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    stage.others.answers |= {
        GetSavings: Savings(clusters=(), total_savings_usd="1.5", total_cost_usd="2"),
        GetActivity: Activity(entries=()),
        GetAudit: Audit(entries=(), is_chain_intact=True),
    }
    query = "since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00+01:00"
    status, savings = await stage.call("GET", f"/savings?{query}", token=token)
    assert (status, savings["total_savings_usd"]) == (200, "1.5")
    assert (await stage.call("GET", "/activity", token=token))[0] == 200
    assert (await stage.call("GET", "/audit?after=3", token=token))[0] == 200
    assert {request.scope for request in stage.others.asked} == {granted["organization"]["id"]}
    for wrong in (
        "since=yesterday",
        "since=2026-03-01T00:00:00",
        f"{query}&since=x",
        "since=2026-03-05T00:00:00Z&until=2026-03-02T00:00:00Z",
    ):
        expected = 200 if wrong.startswith(query) else 422
        assert (await stage.call("GET", f"/savings?{wrong}", token=token))[0] == expected, wrong


def view(status: ExecutionStatus, *, done: int) -> ExecutionView:
    return ExecutionView.model_validate(
        {
            "id": EXECUTION_ID,
            "plan_id": PLAN_ID,
            "trigger": "timer",
            "status": status,
            "dry_run": False,
            "started_at": "2026-03-01T12:00:00Z",
            "steps_total": 2,
            "steps_done": done,
        }
    )


def step(number: int, status: StepStatus) -> StepView:
    return StepView(
        id=UUID(int=number), move_id="move-1", kind=StepKind.LAUNCH, status=status, subject="node-1"
    )


async def test_an_execution_is_watched_to_its_end(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    looks: list[ExecutionReply | None] = [
        ExecutionReply(
            execution=view(ExecutionStatus.RUNNING, done=0),
            steps=(step(1, StepStatus.RUNNING), step(2, StepStatus.PENDING)),
        ),
        None,  # the executor is away for a moment
        ExecutionReply(
            execution=view(ExecutionStatus.RUNNING, done=0),
            steps=(step(1, StepStatus.RUNNING), step(2, StepStatus.PENDING)),
        ),
        ExecutionReply(
            execution=view(ExecutionStatus.SUCCEEDED, done=2),
            steps=(step(1, StepStatus.SUCCEEDED), step(2, StepStatus.SKIPPED)),
        ),
    ]

    class Script(dict[Any, Any]):
        """Each look is the next line of the script."""

        def __contains__(self, key: object) -> bool:
            if looks[0] is None:
                looks.pop(0)
                return False
            return True

        def __getitem__(self, key: Any) -> Any:
            return looks.pop(0)

    stage.others.answers = Script()
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/api/v1/clusters/{cluster_id}/executions/{EXECUTION_ID}/events"
    async with stage.client.get(path, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        blocks = (await answer.text()).replace("\r\n", "\n").strip().split("\n\n")
    events = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for lines in (block.split("\n") for block in blocks)
    ]
    assert [name for name, _ in events] == ["step", "step", "execution", "trouble", "step", "step", "done"]
    assert events[-1][1]["status"] == "succeeded"
    assert looks == []


async def test_executions_are_shown_and_stopped(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    running = view(ExecutionStatus.RUNNING, done=1)
    stage.others.answers = {
        ListExecutions: Executions(executions=(running,)),
        GetExecution: ExecutionReply(execution=running),
    }
    path = f"/clusters/{cluster_id}/executions"
    _, listed = await stage.call("GET", path, token=token)
    assert listed["executions"][0]["steps_done"] == 1
    assert (await stage.call("GET", f"{path}/{EXECUTION_ID}", token=token))[0] == 200
    assert (await stage.call("POST", f"{path}/{EXECUTION_ID}/stop", token=token))[0] == 202
    (body,) = await stage.sent(ExecutionStopRequested.type)
    assert ExecutionStopRequested.model_validate_json(body).execution_id == EXECUTION_ID
    stage.others.answers[GetExecution] = ExecutionReply(execution=None)
    assert (await stage.call("GET", f"{path}/{EXECUTION_ID}", token=token))[0] == 404
    status, problem = await stage.call("POST", f"{path}/{EXECUTION_ID}/stop", token=token)
    assert (status, problem["detail"]) == (404, "There is no such execution.")
    stage.others.answers[GetExecution] = ExecutionReply(execution=view(ExecutionStatus.PARTLY, done=2))
    status, problem = await stage.call("POST", f"{path}/{EXECUTION_ID}/stop", token=token)
    assert (status, problem["detail"]) == (409, "This execution has ended already.")
    assert len(await stage.sent(ExecutionStopRequested.type)) == 1
    del stage.others.answers[GetExecution]
    assert (await stage.call("POST", f"{path}/{EXECUTION_ID}/stop", token=token))[0] == 202
    assert len(await stage.sent(ExecutionStopRequested.type)) == 2
    stage.others.answers[GetExecution] = ExecutionReply(execution=None)
    assert (await stage.call("GET", f"{path}/{EXECUTION_ID}/events", token=token))[0] == 404
