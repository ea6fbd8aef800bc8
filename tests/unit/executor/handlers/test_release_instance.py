"""Instances that came to no use: emptied first, then given back, and never on the word of an old picture."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.executor.domain.steps import Errand, StepKind
from shared.contracts.v1.executor import InstanceTerminated
from tests.fakes.executor import InMemoryExecutor, tools_for
from tests.unit.executor.scenes import a_world, begin, finish, make_plan, replace_move, turn

pytestmark = pytest.mark.looptime


async def test_a_replacement_that_came_to_no_use_is_given_back() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await turn(store, tools)
    world.pods["shop/web-0-0"] = replace(world.pods["shop/web-0-0"], do_not_disrupt=True)
    await finish(store, tools)
    assert "old-0" in world.nodes
    assert world.terminated == ["i-0000"]
    assert world.taken_open == []
    assert "do-not-disrupt" in next(s.detail for s in store.steps(StepKind.CORDON))


async def test_an_unused_instance_that_may_not_be_terminated_runs_on_and_nobody_hears_otherwise() -> None:
    world = a_world()
    world.refuses_to_terminate = True
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await turn(store, tools)
    world.pods["shop/web-0-0"] = replace(world.pods["shop/web-0-0"], do_not_disrupt=True)
    await finish(store, tools)
    assert store.sent(InstanceTerminated) == []
    assert not any(node.is_unschedulable for node in world.nodes.values())


async def test_an_unused_instance_is_not_judged_by_an_old_picture() -> None:
    world = a_world()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)
    await turn(store, tools)
    world.pods["shop/web-0-0"] = replace(world.pods["shop/web-0-0"], do_not_disrupt=True)
    while not any(a.release is Errand.WANTED for a in store.tables.attempts.values()):
        await turn(store, tools)
    world.as_of = world.clock.now() - timedelta(minutes=5)
    for _ in range(20):
        await turn(store, tools)
    assert world.terminated == []
    world.as_of = None
    await finish(store, tools)
    assert world.terminated == ["i-0000"]
