"""A kill at every recorded write and every call out: nothing is lost, nothing is launched twice."""

from collections import Counter

import pytest

from services.executor.domain.steps import ExecutionStatus
from tests.fakes.clock import FakeClock
from tests.fakes.executor import InMemoryExecutor, tools_for
from tests.fakes.executor_world import DiedError, Fate, World
from tests.unit.executor.scenes import SPOT_A, begin, finish, make_plan, replace_move, three_nodes

pytestmark = pytest.mark.looptime

POINTS = 110
"""More than an execution of two moves passes; a fate that never comes is an execution like any other."""


async def lived_through(dies_at: int, *, dry: bool) -> tuple[World, InMemoryExecutor, int]:
    nodes, pods = three_nodes()
    world = World(FakeClock(), nodes, pods)
    world.dry = {SPOT_A} if dry else set()
    store = InMemoryExecutor(world)
    tools = tools_for(world, store)
    await begin(make_plan(world.clock, replace_move(1, "old-0"), replace_move(2, "old-1")), store, tools)
    world.fate = Fate(dies_at)
    deaths = 0
    is_done = False
    while not is_done:
        try:
            await finish(store, tools, token=deaths + 1)
            is_done = True
        except* DiedError:
            deaths += 1
    return world, store, deaths


@pytest.mark.parametrize(
    ("dies_at", "dry"),
    [
        *(pytest.param(point, True, id=f"{point}, first pool dry") for point in range(1, POINTS)),
        *(pytest.param(point, False, id=f"{point}") for point in range(1, POINTS, 4)),
    ],
)
async def test_a_crash_anywhere_changes_nothing_in_the_end(dies_at: int, dry: bool) -> None:  # noqa: FBT001
    world, store, _ = await lived_through(dies_at, dry=dry)

    (execution,) = store.tables.executions.values()
    assert execution.status is ExecutionStatus.SUCCEEDED, [s.detail for s in store.steps()]
    by_step = Counter(tags["spot-optimizer/step"] for tags in world.instances.values())
    assert list(by_step.values()) == [1, 1], "one instance a launch step"
    assert {"old-0", "old-1"} & set(world.nodes) == set()
    assert world.killed_pods == []
    assert all(pod.node_name is not None for pod in world.pods.values())
    requests: dict[str, object] = {}
    for request in world.requests:
        assert requests.setdefault(request["ClientToken"], request) == request, "the same request again"


async def test_the_points_above_cover_a_whole_execution() -> None:
    world, _, deaths = await lived_through(10**6, dry=True)
    assert deaths == 0
    assert 40 < world.fate.passed < POINTS
