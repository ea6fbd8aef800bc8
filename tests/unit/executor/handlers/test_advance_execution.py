"""Plans carried out on a small world: what is launched, drained and terminated, and what is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.executor.domain.steps import ExecutionStatus, StepKind, StepStatus
from services.executor.handlers.stop_execution import stop_execution
from services.executor.ports import Switch
from shared.contracts.v1.agent import DrainNode, UncordonNode
from shared.contracts.v1.executor import (
    ExecutionFinished,
    ExecutionStarted,
    InstanceLaunched,
    InstanceTerminated,
    StepChanged,
)
from shared.contracts.v1.gateway import ExecutionStopRequested
from shared.contracts.v1.plan import PlanTrigger
from shared.contracts.v1.policy import MaintenanceWindow, Policy
from tests.builders import make_node, make_pod
from tests.fakes.clock import FakeClock
from tests.fakes.executor import CountingIds, InMemoryExecutor, tools_for
from tests.fakes.executor_world import World
from tests.unit.executor.scenes import (
    ON_DEMAND,
    SPOT_A,
    SPOT_B,
    a_world,
    begin,
    carry_out,
    delete_move,
    finish,
    make_plan,
    replace_move,
    turn,
)

pytestmark = pytest.mark.looptime


async def test_a_replacement_is_ready_before_its_node_is_drained_and_terminated() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    execution = await carry_out(store, replace_move(1, "old-0"))

    assert execution.status is ExecutionStatus.SUCCEEDED
    assert "old-0" not in world.nodes
    assert len(world.instances) == 1
    assert world.killed_pods == []
    assert all(pod.node_name is not None for pod in world.pods.values())
    begun = {s.kind: s.started_at for s in store.steps()}
    waited = next(s.finished_at for s in store.steps(StepKind.WAIT_READY))
    assert waited is not None
    cordoned_at = begun[StepKind.CORDON]
    assert cordoned_at is not None
    assert cordoned_at >= waited
    assert [len(store.sent(c)) for c in (ExecutionStarted, InstanceLaunched, InstanceTerminated)] == [1, 1, 1]
    assert store.sent(ExecutionFinished)[0].steps_succeeded == 6
    assert len(store.sent(StepChanged)) == 12


async def test_the_request_names_one_pool_and_carries_the_tags_of_the_sweep() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    execution = await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await turn(store, tools)
    (request,) = world.requests
    (config,) = request["LaunchTemplateConfigs"]
    assert config["Overrides"] == [{"InstanceType": "m5.xlarge", "SubnetId": "subnet-a"}]
    assert request["TargetCapacitySpecification"]["SpotTargetCapacity"] == 1
    tags = world.instances["i-0000"]
    assert tags["spot-optimizer/execution"] == str(execution.id)
    assert tags["kubernetes.io/cluster/prod"] == "owned"
    assert len(request["ClientToken"]) == 64


async def test_a_node_that_never_turns_ready_is_given_back_and_launched_elsewhere() -> None:
    world = a_world()
    world.never_ready = {"m5.xlarge"}
    store = InMemoryExecutor(world)
    bigger = replace(ON_DEMAND, instance_type="m5.2xlarge")
    await carry_out(store, replace_move(1, "old-0", pools=(SPOT_A, bigger)))
    assert "i-0000" in world.terminated
    assert "i-0001" not in world.terminated
    assert "old-0" not in world.nodes
    assert {m.instance_id for m in store.sent(InstanceTerminated)} >= {"i-0000"}


async def test_a_blocked_drain_names_its_blocker_and_uncordons_what_was_cordoned() -> None:
    world = a_world()
    world.blocked = {"old-0": "shop/web-0-0"}
    store = InMemoryExecutor(world, policy=Policy(max_disrupted_nodes_ratio=1.0))
    await carry_out(store, replace_move(1, "old-0", "old-1", launches=2))
    failed = next(s for s in store.steps(StepKind.DRAIN) if s.node_name == "old-0")
    assert failed.status is StepStatus.FAILED
    assert "shop/web-0-0" in failed.detail
    assert not world.nodes["old-0"].is_unschedulable
    assert "old-1" not in world.nodes
    assert world.killed_pods == []


async def test_a_drain_that_fails_before_the_others_begin_uncordons_them() -> None:
    world = a_world()
    world.blocked = {"old-0": "shop/web-0-0"}
    store = InMemoryExecutor(world, policy=Policy(max_disrupted_nodes_ratio=1.0))
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0", "old-1", launches=2)), store, tools)
    while not any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.DRAIN)):
        await turn(store, tools)
        if all(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.CORDON)):
            world.pods["shop/web-1-0"] = replace(world.pods["shop/web-1-0"], do_not_disrupt=True)
    await finish(store, tools)
    skipped = next(s for s in store.steps(StepKind.DRAIN) if s.node_name == "old-1")
    assert skipped.status is StepStatus.SKIPPED
    assert "do-not-disrupt" in skipped.detail
    assert not world.nodes["old-1"].is_unschedulable
    assert any(isinstance(c.action, UncordonNode) for c in world.commands)


async def test_a_pod_that_must_not_be_disturbed_keeps_its_node() -> None:
    world = a_world()
    world.pods["shop/web-0-0"] = replace(world.pods["shop/web-0-0"], do_not_disrupt=True)
    store = InMemoryExecutor(world)
    await carry_out(store, replace_move(1, "old-0"))
    assert "old-0" in world.nodes
    assert (world.commands, world.requests) == ([], []), "nothing is launched for a move that may not end"


async def test_moves_that_cannot_begin_are_given_up_so_that_later_plans_may() -> None:
    world = a_world()
    world.nodes["old-2"] = replace(world.nodes["old-2"], is_unschedulable=True)
    store = InMemoryExecutor(world, policy=Policy(drain_deadline_seconds=60))
    world.nodes["roomy"] = make_node("roomy", cpu=16000)
    began = world.clock.now()
    await carry_out(store, delete_move(1, "old-0"))
    assert "old-0" in world.nodes
    assert "other nodes are cordoned" in next(s.detail for s in store.steps(StepKind.CORDON))
    assert timedelta(seconds=60) < world.clock.now() - began < timedelta(seconds=70)


async def test_what_began_as_a_dry_run_stays_one() -> None:
    world = a_world()
    world.switch = Switch.ON
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    world.switch = Switch.OFF
    await finish(store, tools)
    assert (world.requests, world.commands) == ([], [])


async def test_a_node_is_not_deleted_when_its_pods_no_longer_fit() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    world.pods["shop/new"] = make_pod("new", cpu=1000, node="old-1")
    world.pods["shop/new2"] = make_pod("new2", cpu=1000, node="old-2")
    await carry_out(store, delete_move(1, "old-0"))
    assert "old-0" in world.nodes
    assert "no room for" in next(s.detail for s in store.steps(StepKind.CORDON))


async def test_no_more_nodes_are_disrupted_than_the_policy_allows() -> None:
    clock = FakeClock()
    nodes = [make_node(f"old-{n}") for n in range(10)]
    world = World(clock, nodes, [make_pod(f"web-{n}", node=f"old-{n}") for n in range(10)])
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(clock, *(replace_move(n, f"old-{n}") for n in range(6))), store, tools)
    most = 0
    while any(not s.status.is_over for s in store.steps()):
        await turn(store, tools)
        most = max(most, sum(node.is_unschedulable for node in world.nodes.values()))
    assert most == 2 or most == 3, "a fifth of 10 to 16 nodes"
    assert len([n for n in world.nodes if n.startswith("old")]) == 4
    assert len(world.instances) == 6


async def test_nothing_is_drained_outside_the_maintenance_window() -> None:
    world = a_world()
    window = MaintenanceWindow(start="00:30", duration_seconds=3600)
    store = InMemoryExecutor(world, policy=Policy(maintenance_windows=(window,)))
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await turn(store, tools)
    assert world.requests == []
    await world.clock.sleep(1800)
    await finish(store, tools)
    assert "old-0" not in world.nodes


async def test_safe_mode_makes_the_plan_a_dry_run() -> None:
    world = a_world()
    world.switch = Switch.ON
    store = InMemoryExecutor(world)
    execution = await carry_out(store, replace_move(1, "old-0"))
    assert execution.dry_run
    assert (world.requests, world.commands, world.terminated) == ([], [], [])
    assert {s.status for s in store.steps()} == {StepStatus.SKIPPED}
    assert store.tables.held_back == ["launch: launch an instance for l1-0"]


async def test_an_unreadable_switch_holds_everything_and_loses_nothing() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    world.switch = Switch.UNREADABLE
    for _ in range(3):
        await turn(store, tools)
    assert world.requests == []
    world.switch = Switch.OFF
    await finish(store, tools)
    assert "old-0" not in world.nodes


async def test_stopping_finishes_what_has_begun_and_begins_nothing_else() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store, pace=replace(tools_for(world, store).pace, max_launches_in_flight=1))
    plan = make_plan(world.clock, replace_move(1, "old-0"), replace_move(2, "old-1"))
    execution = await begin(plan, store, tools)
    await turn(store, tools)
    async with store() as uow:
        await stop_execution(
            ExecutionStopRequested.make(
                scope="c1",
                clock=world.clock,
                ids=CountingIds(),
                organization_id="org1",
                execution_id=execution.id,
                requested_by="u",
            ),
            uow=uow,
        )
    await finish(store, tools)
    assert store.tables.executions[execution.id].status is ExecutionStatus.STOPPED
    assert "old-0" not in world.nodes
    assert "old-1" in world.nodes
    assert len(world.instances) == 1


async def test_an_instance_nobody_knows_of_is_found_by_its_tags_and_given_back() -> None:
    world = a_world()
    world.dry = {SPOT_A, SPOT_B}
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    execution = await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    (launch,) = store.steps(StepKind.LAUNCH)
    world.instances["i-lost"] = {
        "spot-optimizer/execution": str(execution.id),
        "spot-optimizer/step": str(launch.id),
        "type": "m5.xlarge",
        "capacity": "spot",
    }
    await finish(store, tools)
    assert world.terminated == ["i-lost"]


async def test_a_slow_answer_holds_nothing_else_up() -> None:
    world = a_world()
    world.nodes["roomy"] = make_node("roomy", cpu=16000)
    world.agent_seconds = 20
    store = InMemoryExecutor(world, policy=Policy(max_disrupted_nodes_ratio=1.0))
    tools = tools_for(world, store)
    began = world.clock.now()
    plan = make_plan(world.clock, delete_move(1, "old-0"), delete_move(2, "old-1"), replace_move(3, "old-2"))
    await begin(plan, store, tools)
    for _ in range(3):
        await turn(store, tools)
    running = [s.node_name for s in store.steps(StepKind.CORDON) if s.status is StepStatus.RUNNING]
    assert running == ["old-0", "old-1"]
    assert len(world.requests) == 1
    assert world.clock.now() - began < timedelta(seconds=5)
    await finish(store, tools)
    assert not {"old-0", "old-1", "old-2"} & set(world.nodes)
    assert len([c for c in world.commands if isinstance(c.action, DrainNode)]) >= 3


async def test_launches_pause_while_aws_is_away() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    world.cloud_is_away = True
    for _ in range(20):
        await turn(store, tools)
    assert [s.status for s in store.steps(StepKind.LAUNCH)] == [StepStatus.RUNNING]
    world.cloud_is_away = False
    await finish(store, tools)
    assert len(world.instances) == 1
    assert "old-0" not in world.nodes


async def test_the_drain_carries_the_policys_deadline_and_namespaces() -> None:
    world = a_world()
    store = InMemoryExecutor(world, policy=Policy(excluded_namespaces=("bank",), drain_deadline_seconds=300))
    await carry_out(store, replace_move(1, "old-0"))
    drain = next(c.action for c in world.commands if isinstance(c.action, DrainNode))
    assert drain.excluded_namespaces == ("bank",)
    begun = next(s.started_at for s in store.steps(StepKind.DRAIN))
    assert begun is not None
    assert drain.deadline_at - begun <= timedelta(seconds=300)
    assert not drain.keep_cordoned_on_failure


async def test_launching_for_pending_pods_does_not_wait_for_another_plan() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    move = replace_move(1).model_copy(update={"drains": ()})
    plan = make_plan(world.clock, move, trigger=PlanTrigger.PENDING_PODS)
    execution = await begin(plan, store, tools)
    assert not execution.is_main
    await finish(store, tools)
    assert world.terminated == []
    assert len(world.instances) == 1
