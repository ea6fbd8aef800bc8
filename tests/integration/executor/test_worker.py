"""Two replicas: one works, the other takes over when it is gone, and the first can do no harm when it wakes up."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from services.executor.domain.steps import ExecutionStatus, StepKind, StepStatus
from services.executor.entrypoints.worker import Worker
from shared.runtime.clock import SystemClock
from shared.runtime.leases import Leases
from shared.runtime.postgres import Database
from tests.fakes.executor import InMemoryExecutor, tools_for
from tests.fakes.executor_world import World
from tests.unit.executor.scenes import begin, delete_move, make_plan, replace_move, three_nodes
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

LIFETIME = timedelta(milliseconds=400)


async def test_a_successor_takes_over_and_the_sleeper_writes_nothing(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    database = await make_database("executor")
    world = World(SystemClock(), *three_nodes())
    world.boot = timedelta(0)
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    first, second = (
        Worker(tools=tools, leases=Leases(database, holder=holder), lifetime=LIFETIME)
        for holder in ("first", "second")
    )
    execution = await begin(make_plan(world.clock, replace_move(1, "old-0")), store, tools)

    async def cordoning() -> bool:
        await first.tick()
        return any(s.status is StepStatus.RUNNING for s in store.steps(StepKind.CORDON))

    world.agent_seconds = 2.0  # the first replica hangs in a call
    await until(cordoning)
    await second.tick()
    await asyncio.sleep(0.05)
    assert store.tables.tokens[execution.id] == 1, "the lease is held"
    world.agent_seconds = 0.0

    async def finished() -> bool:
        await second.tick()
        return store.tables.executions[execution.id].status is ExecutionStatus.SUCCEEDED

    await until(finished)
    assert store.tables.tokens[execution.id] == 2
    assert {command.fencing_token for command in world.commands} >= {2}
    assert len(world.instances) == 1
    told = len(store.tables.sent)
    await first.tick()
    await asyncio.sleep(0.1)
    assert len(store.tables.sent) == told
    await first.close()
    await second.close()


async def test_one_step_follows_another_without_waiting_for_the_next_tick(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    database = await make_database("executor")
    world = World(SystemClock(), *three_nodes())
    del world.pods["shop/web-0-0"], world.pods["shop/web-0-1"]
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    worker = Worker(tools=tools, leases=Leases(database, holder="only"), lifetime=LIFETIME)
    await begin(make_plan(world.clock, delete_move(1, "old-0")), store, tools)

    async def drained() -> bool:
        return all(s.status is StepStatus.SUCCEEDED for s in store.steps(StepKind.CORDON)) and any(
            s.status is not StepStatus.PENDING for s in store.steps(StepKind.DRAIN)
        )

    await worker.tick()  # the only one
    await until(drained)
    await worker.close()
