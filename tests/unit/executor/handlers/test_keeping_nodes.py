"""What keeps a node: a picture that is old, pods that are left or do not run elsewhere, a cordon that is gone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.executor.domain.steps import ExecutionStatus, StepKind, StepStatus
from services.executor.handlers.scene import Tools
from services.executor.ports import Switch
from shared.contracts.v1.policy import Policy
from shared.kernel.workload import Owner, PodPhase
from tests.builders import make_node, make_pod
from tests.fakes.executor import InMemoryExecutor, tools_for
from tests.unit.executor.scenes import (
    a_world,
    begin,
    delete_move,
    finish,
    make_plan,
    replace_move,
    turn,
)

pytestmark = pytest.mark.looptime


async def drained(store: InMemoryExecutor, tools: Tools) -> None:
    while not any(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.DRAIN)):
        await turn(store, tools)


async def test_a_stale_picture_disrupts_nothing() -> None:
    world = a_world()
    world.as_of = world.clock.now()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, delete_move(1, "old-0"), delete_move(2, "old-1")), store, tools)
    await world.clock.sleep(300)
    await turn(store, tools)
    assert world.commands == []
    world.as_of = None
    await turn(store, tools)
    assert world.commands == [] or all(s.status is not StepStatus.FAILED for s in store.steps())


async def test_an_agent_that_is_away_for_long_fails_the_cordon_and_makes_it_undone_later() -> None:
    world = a_world()
    store = InMemoryExecutor(world, policy=Policy(drain_deadline_seconds=60))
    tools = tools_for(world, store)
    del world.pods["shop/web-0-0"], world.pods["shop/web-0-1"]
    execution = await begin(make_plan(world.clock, delete_move(1, "old-0")), store, tools)
    world.agent_is_away = True
    while not all(s.status.is_over for s in store.steps()):
        await turn(store, tools)
    assert next(s for s in store.steps(StepKind.CORDON)).status is StepStatus.FAILED
    # The last cordon was carried out after all, only its answer was lost.
    world.nodes["old-0"] = replace(world.nodes["old-0"], is_unschedulable=True)
    for _ in range(600):
        await turn(store, tools)
    assert store.tables.executions[execution.id].status is ExecutionStatus.RUNNING
    world.agent_is_away = False
    await finish(store, tools)
    assert not world.nodes["old-0"].is_unschedulable
    assert world.terminated == []


async def test_a_cordon_that_failed_is_undone_too() -> None:
    world = a_world()
    del world.pods["shop/web-0-0"], world.pods["shop/web-0-1"]
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, delete_move(1, "old-0")), store, tools)
    await turn(store, tools)
    (cordon,) = store.steps(StepKind.CORDON)
    store.tables.steps[cordon.id] = replace(cordon, status=StepStatus.FAILED, detail="timed out")
    await finish(store, tools)
    assert not world.nodes["old-0"].is_unschedulable


async def test_a_node_that_somebody_uncordoned_after_its_drain_is_not_terminated() -> None:
    world = a_world()
    store = InMemoryExecutor(world, policy=Policy(drain_deadline_seconds=120))
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await drained(store, tools)
    world.nodes["old-0"] = replace(world.nodes["old-0"], is_unschedulable=False)
    await finish(store, tools)
    assert world.terminated == []
    (terminate,) = store.steps(StepKind.TERMINATE)
    assert (terminate.status, "uncordoned" in terminate.detail) == (StepStatus.FAILED, True)


async def test_a_termination_taken_up_after_a_crash_looks_at_the_node_again() -> None:
    world = a_world()
    store = InMemoryExecutor(world, policy=Policy(drain_deadline_seconds=120))
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await drained(store, tools)
    world.cloud_is_away = True
    while not any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.TERMINATE)):
        await turn(store, tools)
    world.pods["shop/late"] = make_pod("late", cpu=10, node="old-0")
    world.cloud_is_away = False
    await finish(store, tools)
    assert (world.terminated, world.killed_pods) == ([], [])
    assert not world.nodes["old-0"].is_unschedulable


async def test_safe_mode_holds_a_termination_that_had_begun() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await drained(store, tools)
    world.cloud_is_away = True
    while not any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.TERMINATE)):
        await turn(store, tools)
    world.switch, world.cloud_is_away = Switch.ON, False
    for _ in range(20):
        await turn(store, tools)
    assert world.terminated == []
    world.switch = Switch.OFF
    await finish(store, tools)
    assert "old-0" not in world.nodes


async def test_pods_must_run_elsewhere_not_only_be_placed() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await drained(store, tools)
    for key, pod in world.pods.items():
        if pod.uid.endswith("+"):
            world.pods[key] = replace(pod, phase=PodPhase.PENDING)
    for _ in range(20):
        await turn(store, tools)
    assert world.terminated == []
    for key, pod in world.pods.items():
        world.pods[key] = replace(pod, phase=PodPhase.RUNNING)
    await finish(store, tools)
    assert "old-0" not in world.nodes


async def test_a_picture_from_a_clock_far_ahead_is_not_fresh() -> None:
    world = a_world()
    world.as_of = world.clock.now() + timedelta(minutes=10)
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, delete_move(1, "old-0")), store, tools)
    for _ in range(5):
        await turn(store, tools)
    assert world.commands == []


async def test_another_instance_under_the_cordoned_nodes_name_is_not_drained() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    while not all(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.CORDON)):
        await turn(store, tools)
    assert not any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.DRAIN))
    world.nodes["old-0"] = replace(world.nodes["old-0"], instance_id="i-another")
    await finish(store, tools)
    (drain,) = store.steps(StepKind.DRAIN)
    assert (drain.status, "another instance" in drain.detail) == (StepStatus.SKIPPED, True)
    assert "i-another" not in world.terminated


async def test_a_node_that_still_shows_a_pod_is_not_terminated() -> None:
    world = a_world()
    world.comes_late = make_pod("late", cpu=10, node="old-0", owner=Owner("Job", "late"))
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    while not any(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.DRAIN)):
        await turn(store, tools)
    for _ in range(20):
        await turn(store, tools)
    assert world.terminated == []
    del world.pods["shop/late"]
    await finish(store, tools)
    assert "old-0" not in world.nodes
    assert world.killed_pods == []


async def test_a_node_whose_pods_found_no_other_is_kept_and_takes_them_back() -> None:
    world = a_world()
    world.scheduler_is_away = True
    store = InMemoryExecutor(world, policy=Policy(drain_deadline_seconds=120))
    tools = tools_for(world, store)
    execution = await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await finish(store, tools)
    assert world.nodes["old-0"].is_unschedulable is False
    assert make_node("old-0").instance_id not in world.terminated
    failed = next(s for s in store.steps(StepKind.TERMINATE))
    assert (failed.status, "shop/web-0-0" in failed.detail) == (StepStatus.FAILED, True)
    assert store.tables.executions[execution.id].status is ExecutionStatus.PARTLY


async def test_a_drain_waits_for_room_while_another_of_its_move_is_under_way() -> None:
    world = a_world()
    for name in ("shop/web-1-1", "shop/web-1-2"):
        del world.pods[name]
    world.nodes["roomy"] = make_node("roomy", cpu=5000)
    world.pods["shop/filling"] = make_pod("filling", cpu=1000, node="old-2")
    store = InMemoryExecutor(world, policy=Policy(max_disrupted_nodes_ratio=1.0))
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, delete_move(1, "old-0", "old-1")), store, tools)
    while not all(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.CORDON)):
        await turn(store, tools)
    first, second = store.steps(StepKind.DRAIN)
    assert first.status is second.status is StepStatus.PENDING
    # The first has begun; pods that are being moved are counted where they were and where they will be.
    deadline = tools.clock.now() + timedelta(seconds=60)
    store.tables.steps[first.id] = replace(first, status=StepStatus.RUNNING, deadline_at=deadline)
    world.blocked = {"old-0": "shop/web-0-0"}
    world.pods["shop/passing"] = make_pod("passing", cpu=5000, node="roomy")
    for _ in range(3):
        await turn(store, tools)
    assert store.tables.steps[second.id].status is StepStatus.PENDING
    del world.pods["shop/passing"]
    await finish(store, tools)
    assert store.tables.steps[second.id].status is StepStatus.SUCCEEDED
    assert world.killed_pods == []
