"""What the optimizer keeps of what it hears, and when that makes planning due."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.optimizer.handlers import keep_cluster
from services.optimizer.ports import Applied, ClusterView
from shared.contracts.v1.agent import ClusterChanged, PodUsage, UsageSampled
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.cluster_state import Position
from shared.kernel.workload import ClusterObjects, Pod
from tests.builders import make_node, make_pod
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.optimizer import FakeAgents, InMemoryOptimizer

pytestmark = pytest.mark.looptime

SETTLE = timedelta(seconds=10)
APPLIED = Applied(is_applied=True)
PENDING, BOUND = make_pod("p"), make_pod("b", node="n1")


@pytest.fixture
async def store() -> InMemoryOptimizer:
    return InMemoryOptimizer()


async def hear(store: InMemoryOptimizer, *pods: Pod, applied: Applied) -> bool:
    """Take a delta; tell whether planning for pending pods is due after it."""
    clock = FakeClock()
    store.clusters.next_applied = applied
    upserts = ClusterObjects(pods=pods)
    delta = ClusterChanged.make(
        scope="c1", clock=clock, ids=CountedIds(), epoch=1, sequence=1, upserts=upserts
    )
    async with store.unit_of_work() as uow:
        await keep_cluster.keep_delta(delta, uow=uow, clock=clock, settle=SETTLE)
    for (cluster_id, trigger), (_, due_at) in store.plans.wishes.items():
        assert (cluster_id, trigger, due_at) == ("c1", PlanTrigger.PENDING_PODS, EPOCH + SETTLE)
    return bool(store.plans.wishes)


@pytest.mark.parametrize(
    ("pods", "applied", "is_due"),
    [
        pytest.param((PENDING, BOUND), APPLIED, True, id="a pod waits"),
        pytest.param((BOUND,), APPLIED, False, id="none waits"),
        pytest.param((), APPLIED, False, id="something else"),
        pytest.param((replace(PENDING, node_name="n1"),), APPLIED, False, id="bound, still pulling images"),
        pytest.param((PENDING,), Applied(is_applied=False), False, id="known already, or early"),
    ],
)
async def test_a_pod_without_a_node_makes_planning_due(
    store: InMemoryOptimizer, pods: tuple[Pod, ...], applied: Applied, *, is_due: bool
) -> None:
    assert await hear(store, *pods, applied=applied) is is_due


@pytest.mark.parametrize("waits", [True, False])
async def test_a_pod_in_a_delta_that_came_early_is_noticed_too(
    store: InMemoryOptimizer, *, waits: bool
) -> None:
    objects = ClusterObjects(pods=(PENDING,) if waits else ())
    store.clusters.views["c1"] = ClusterView(objects, Position(1, 2), EPOCH)
    assert await hear(store, applied=Applied(is_applied=True, took_others=True)) is waits


@pytest.mark.parametrize(("executions", "pause"), [(0, keep_cluster.UNSCHEDULABLE_SETTLE), (1, SETTLE)])
async def test_a_pod_that_kube_scheduler_gave_up_on_is_planned_for_at_once_unless_nodes_are_drained(
    store: InMemoryOptimizer, executions: int, pause: timedelta
) -> None:
    clock = FakeClock()
    store.clusters.next_applied = APPLIED
    upserts = ClusterObjects(pods=(replace(PENDING, is_unschedulable=True),))
    ids = CountedIds()
    delta = ClusterChanged.make(scope="c1", clock=clock, ids=ids, epoch=1, sequence=1, upserts=upserts)
    async with store.unit_of_work() as uow:
        for _ in range(executions):
            await uow.plans.execution_started(
                "c1", ids.new(), plan_id=ids.new(), trigger=PlanTrigger.TIMER, at=EPOCH
            )
        await keep_cluster.keep_delta(delta, uow=uow, clock=clock, settle=SETTLE)
    ((_, due_at),) = store.plans.wishes.values()
    assert due_at == EPOCH + pause


async def test_usage_is_summed_by_workload_and_strangers_are_left_out(store: InMemoryOptimizer) -> None:
    bare = make_pod("bare", owner=None, node="n1")
    objects = ClusterObjects(nodes=(make_node("n1"),), pods=(BOUND, bare))
    sampled = UsageSampled.make(
        scope="c1",
        clock=FakeClock(),
        ids=CountedIds(),
        sampled_at=EPOCH,
        window_seconds=30,
        pods=tuple(
            PodUsage(pod=name, cpu_millicores=1, memory_bytes=2) for name in ("shop/b", "shop/bare", "x/y")
        ),
    )
    await keep_cluster.keep_usage(sampled, uow=store)
    assert store.plans.usage == [], "before the first snapshot nobody knows whose pods these are"
    store.clusters.views["c1"] = ClusterView(objects, Position(1, 1), EPOCH)
    await keep_cluster.keep_usage(sampled, uow=store)
    assert [(c, w, s.pod) for c, w, s in store.plans.usage] == [("c1", "shop/Deployment/web", "shop/b")]


async def test_each_gap_is_asked_about(store: InMemoryOptimizer) -> None:
    store.clusters.next_gaps = ["c1", "c2"]
    agents = FakeAgents()
    for _ in range(2):
        await keep_cluster.ask_for_missing(unit_of_work=store.unit_of_work, agents=agents, clock=FakeClock())
    assert agents.asked == ["c1", "c2"]
