"""Interruption notices: at once, once, and without waiting for anybody."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.domain.replacement import Quoted
from services.executor.domain.steps import TAKEN_OVER, ExecutionStatus, StepKind, StepStatus
from services.executor.handlers.respond_to_notice import respond_to_notice
from services.executor.handlers.scene import Tools
from shared.contracts.v1.agent import DrainNode, UncordonNode
from shared.contracts.v1.executor import ExecutionStarted, InstanceLaunched, NodeInterrupted
from shared.contracts.v1.policy import MaintenanceWindow, Policy
from shared.contracts.v1.pricing import InstanceNoticeReceived
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType
from tests.builders import make_instance_type, make_node, make_pod
from tests.fakes.clock import FakeClock
from tests.fakes.executor import CountingIds, InMemoryExecutor, tools_for
from tests.fakes.executor_world import CLUSTER, World
from tests.unit.executor.scenes import (
    ON_DEMAND,
    SPOT_A,
    SPOT_B,
    begin,
    finish,
    make_plan,
    replace_move,
    three_nodes,
    turn,
)

pytestmark = pytest.mark.looptime

SPOT_NODE = make_node("spot-0", capacity_type=CapacityType.SPOT)
INSTANCE = SPOT_NODE.instance_id or ""


def a_full_cluster() -> World:
    """A spot node whose pods fit nowhere else."""
    nodes, pods = three_nodes()
    pods = [*pods, *(make_pod(f"api-{k}", cpu=1500, node="spot-0") for k in range(2))]
    return World(FakeClock(), [*nodes, SPOT_NODE], pods)


async def notify(
    store: InMemoryExecutor,
    tools: Tools,
    kind: InterruptionKind = InterruptionKind.SPOT_INTERRUPTION,
    *,
    instance_id: str = INSTANCE,
    account: str = CLUSTER.account_number,
) -> None:
    message = InstanceNoticeReceived.make(
        scope="us-east-1",
        clock=tools.clock,
        ids=CountingIds(),
        instance_id=instance_id,
        account=account,
        kind=kind,
        notice_at=tools.clock.now(),
    )
    async with store() as uow:
        await respond_to_notice(message, uow=uow, safe_mode=tools.safe_mode, clock=tools.clock, ids=tools.ids)


def quoted(world: World) -> None:
    types = [make_instance_type(), make_instance_type("m5.large", vcpus=2, gib=8)]
    large = replace(SPOT_B, instance_type="m5.large")
    world.quoted = (
        [
            Quoted(SPOT_A, Decimal("0.04"), is_flagged=False),
            Quoted(SPOT_B, Decimal("0.05"), is_flagged=False),
            Quoted(large, Decimal("0.01"), is_flagged=False),
            Quoted(ON_DEMAND, Decimal("0.19"), is_flagged=False),
        ],
        {t.name: t for t in types},
    )


async def test_the_drain_and_the_replacement_begin_in_the_same_turn() -> None:
    world = a_full_cluster()
    quoted(world)
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    began = world.clock.now()
    await notify(store, tools)
    await turn(store, tools)
    (drain,) = [c.action for c in world.commands if isinstance(c.action, DrainNode)]
    assert drain.keep_cordoned_on_failure
    assert drain.deadline_at == began + timedelta(seconds=110)
    assert len(world.requests) == 1
    await finish(store, tools)
    assert [m.pool for m in store.sent(InstanceLaunched)] == [SPOT_B], "not the pool that is being reclaimed"
    assert "spot-0" not in world.nodes
    (told,) = store.sent(NodeInterrupted)
    assert (told.node_name, told.pool) == ("spot-0", SPOT_A)
    assert store.sent(ExecutionStarted)[0].trigger == "interrupted"
    (execution,) = store.tables.executions.values()
    assert execution.status is ExecutionStatus.SUCCEEDED


async def test_without_prices_the_same_type_is_bought_on_demand() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    (attempt,) = store.tables.attempts.values()
    assert attempt.offering.pool == ON_DEMAND
    assert attempt.offering.usd_per_hour is None


@pytest.mark.parametrize(
    "policy",
    [
        Policy(max_usd_per_hour=1.0),
        Policy(max_vcpus=2),
        Policy(instance_families=("c5",)),
        Policy(architectures=("arm64",)),
        Policy(zones=("us-east-1c",)),
    ],
    ids=["price limit", "vCPU", "families", "architectures", "zones"],
)
async def test_without_prices_nothing_is_bought_that_the_policy_may_forbid(policy: Policy) -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world, policy=policy)
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert world.requests == []
    (launch,) = store.steps(StepKind.LAUNCH)
    assert launch.detail == "no offering is known to meet the policy"
    assert "spot-0" not in world.nodes, "it is emptied all the same"


async def test_on_demand_follows_when_no_spot_pool_has_capacity() -> None:
    world = a_full_cluster()
    quoted(world)
    world.dry = {SPOT_B}
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert [m.pool for m in store.sent(InstanceLaunched)] == [ON_DEMAND]


async def test_on_demand_does_not_follow_where_the_policy_wants_no_fallback() -> None:
    world = a_full_cluster()
    quoted(world)
    world.dry = {SPOT_B}
    store = InMemoryExecutor(world, policy=Policy(on_demand_fallback=False))
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert store.sent(InstanceLaunched) == []


async def test_nothing_is_launched_when_the_pods_fit_elsewhere() -> None:
    world = a_full_cluster()
    world.nodes["roomy"] = make_node("roomy")
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert world.requests == []
    assert "spot-0" not in world.nodes
    assert world.pods["shop/api-0"].node_name == "roomy"


async def test_a_second_notice_changes_nothing() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools)
    await notify(store, tools)
    assert len(store.tables.executions) == 1
    assert len(store.sent(NodeInterrupted)) == 1


@pytest.mark.parametrize(
    ("instance_id", "account"), [("i-unknown", CLUSTER.account_number), (INSTANCE, "999999999999")]
)
async def test_an_instance_that_is_none_of_ours_is_let_be(instance_id: str, account: str) -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools, instance_id=instance_id, account=account)
    assert store.tables.executions == {}
    assert store.tables.sent == []


async def test_an_instance_that_is_gone_is_only_told_of() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools, InterruptionKind.INSTANCE_TERMINATED)
    assert store.tables.executions == {}
    assert len(store.sent(NodeInterrupted)) == 1


async def test_a_rebalance_hint_counts_only_when_the_pool_is_flagged() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools, InterruptionKind.REBALANCE_RECOMMENDATION)
    assert store.tables.executions == {}
    store.tables.flags[SPOT_A] = world.clock.now() + timedelta(hours=1)
    store.tables.notices.clear()
    await notify(store, tools, InterruptionKind.REBALANCE_RECOMMENDATION)
    assert len(store.tables.executions) == 1


async def test_neither_window_nor_budget_nor_do_not_disrupt_delays_an_interruption() -> None:
    world = a_full_cluster()
    world.nodes["old-0"] = replace(world.nodes["old-0"], is_unschedulable=True)
    world.pods["shop/api-0"] = replace(world.pods["shop/api-0"], do_not_disrupt=True)
    closed = MaintenanceWindow(start="12:00", duration_seconds=60)
    store = InMemoryExecutor(world, policy=Policy(maintenance_windows=(closed,)))
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert "spot-0" not in world.nodes


async def test_an_interruption_too_leaves_excluded_namespaces_alone() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world, policy=Policy(excluded_namespaces=("bank",)))
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    drain = next(c.action for c in world.commands if isinstance(c.action, DrainNode))
    assert drain.excluded_namespaces == ("bank",)


async def test_it_takes_a_node_over_that_a_plan_is_draining() -> None:
    world = a_full_cluster()
    world.blocked = {"spot-0": "shop/api-0"}
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "spot-0")), store, tools)
    while not any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.DRAIN)):
        await turn(store, tools)
    await notify(store, tools)
    world.blocked = {}
    await finish(store, tools)
    planned = [s for s in store.steps(StepKind.DRAIN) if s.move_id == "m1"]
    assert [s.status for s in planned] == [StepStatus.SKIPPED]
    assert len(world.instances) == 1, "the plan's replacement serves the interruption"
    assert world.terminated == [INSTANCE]
    assert not any(isinstance(c.action, UncordonNode) for c in world.commands)


async def test_a_drain_that_is_blocked_to_the_end_leaves_the_node_cordoned() -> None:
    world = a_full_cluster()
    world.blocked = {"spot-0": "shop/api-0"}
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await notify(store, tools)
    await finish(store, tools)
    assert world.nodes["spot-0"].is_unschedulable
    assert world.terminated == [], "EC2 takes it by itself"
    assert [s.status for s in store.steps(StepKind.WAIT_READY)] == [StepStatus.SUCCEEDED]


async def test_an_instance_that_goes_before_its_node_came_is_replaced_at_once() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    for _ in range(3):
        await turn(store, tools)
    began = world.clock.now()
    await notify(store, tools, instance_id="i-0000")
    await turn(store, tools)
    await turn(store, tools)
    assert len(world.instances) == 2
    assert world.clock.now() - began < timedelta(seconds=5)
    await finish(store, tools)
    assert world.terminated == ["i-0000", world_instance("old-0")]


def world_instance(node_name: str) -> str:
    return make_node(node_name).instance_id or ""


async def test_a_plan_leaves_a_node_alone_that_an_interruption_is_about() -> None:
    world = a_full_cluster()
    world.blocked = {"spot-0": "shop/api-0"}
    store = InMemoryExecutor(world, policy=Policy(max_disrupted_nodes_ratio=1.0))
    tools = tools_for(world, store)
    await notify(store, tools)
    await turn(store, tools)
    await begin(make_plan(world.clock, replace_move(1, "spot-0")), store, tools)
    await finish(store, tools)
    planned = [s for s in store.steps(StepKind.CORDON) if s.move_id == "m1"]
    assert [(s.status, s.detail) for s in planned] == [(StepStatus.SKIPPED, TAKEN_OVER)]


async def test_our_own_termination_is_no_interruption() -> None:
    world = a_full_cluster()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "spot-0")), store, tools)
    await finish(store, tools)
    await notify(store, tools, InterruptionKind.INSTANCE_TERMINATED)
    assert store.sent(NodeInterrupted) == []
