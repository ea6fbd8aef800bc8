"""Commands: verified, carried out once, remembered, resumed or undone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.domain.command_check import Limits
from agent.errors import KubernetesRefusedError, MalformedCommandError
from agent.handlers.execute_command import CommandDesk
from agent.handlers.release_nodes import release_nodes
from agent.ports import WorkloadState
from shared.contracts.v1.agent import (
    Action,
    AgentCommand,
    CommandFinished,
    CommandOutcome,
    CordonNode,
    DeleteNode,
    DrainNode,
    EvictPod,
    ExecuteCommand,
    OutcomeStatus,
    PatchRequests,
    ScaleWorkload,
    UncordonNode,
)
from shared.kernel.workload import Owner, PodPhase
from tests.builders import make_pod
from tests.fakes.agent import START, CountingIds, FakeCluster, InMemoryJournal, InMemoryOutbox, SkippingClock
from tests.waiting import until

KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
STEP = UUID(int=99)
ABANDONED = timedelta(minutes=10)


class HangingClock(SkippingClock):
    """Sleeps until it is let go: a drain can be seen while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.go_on.wait()
        await super().sleep(seconds)


class World:
    def __init__(self, limits: Limits | None = None) -> None:
        self.cluster, self.journal, self.outbox = FakeCluster(), InMemoryJournal(), InMemoryOutbox()
        self.clock, self.ids, self.limits = SkippingClock(), CountingIds(), limits or Limits()
        self.cluster.add_node("n1")
        self.desk = self.new_desk()

    def new_desk(self) -> CommandDesk:
        return CommandDesk(
            cluster_id="c1",
            signing_keys={"k1": KEY.public_key().public_bytes_raw()},
            limits=self.limits,
            cluster=self.cluster,
            journal=self.journal,
            outbox=self.outbox,
            clock=self.clock,
            ids=self.ids,
            abandoned_after=ABANDONED,
            answer_within_seconds=0.1,
        )

    def request(self, action: Action, *, token: int = 1, step: UUID = STEP, **changes: Any) -> ExecuteCommand:
        fields: dict[str, Any] = {"cluster_id": "c1", "expires_at": START + timedelta(minutes=5)} | changes
        command = AgentCommand(id=step, fencing_token=token, action=action, **fields)
        body = command.model_dump_json().encode()
        return ExecuteCommand.make(
            scope="c1", clock=self.clock, ids=self.ids, body=body, key_id="k1", signature=KEY.sign(body)
        )

    async def send(self, action: Action, **fields: Any) -> CommandOutcome:
        return await self.desk.answer(self.request(action, **fields))

    async def release(self) -> int:
        return await release_nodes(
            desk=self.desk,
            journal=self.journal,
            cluster=self.cluster,
            clock=self.clock,
            abandoned_after=ABANDONED,
        )


def drain(seconds: float = 60, **fields: Any) -> DrainNode:
    return DrainNode(node_name="n1", deadline_at=START + timedelta(seconds=seconds), **fields)


async def test_a_command_runs_once_and_is_told_twice() -> None:
    world = World()
    first = await world.send(CordonNode(node_name="n1"))
    again = await world.send(CordonNode(node_name="n1"), token=2)
    assert first == again
    assert first.status is OutcomeStatus.SUCCEEDED
    assert world.cluster.calls == [("cordon", "n1")]
    assert [type(event) for event in world.outbox.events] == [CommandFinished]


async def test_a_stale_fencing_token_is_refused_also_for_what_is_finished() -> None:
    world = World()
    await world.send(CordonNode(node_name="n1"), token=5)
    outcome = await world.send(CordonNode(node_name="n1"), token=4)
    assert outcome.status is OutcomeStatus.REFUSED


@pytest.mark.parametrize(
    "changes",
    [{"cluster_id": "c2"}, {"expires_at": START - timedelta(seconds=1)}],
    ids=["other cluster", "expired"],
)
async def test_what_is_refused_touches_nothing(changes: dict[str, Any]) -> None:
    world = World()
    outcome = await world.send(CordonNode(node_name="n1"), **changes)
    assert outcome.status is OutcomeStatus.REFUSED
    assert not world.cluster.calls
    assert not world.journal.records


async def test_a_changed_body_is_refused() -> None:
    world = World()
    good = world.request(CordonNode(node_name="n1"))
    forged = good.model_copy(update={"body": good.body.replace(b"n1", b"n2")})
    assert (await world.desk.answer(forged)).status is OutcomeStatus.REFUSED
    with pytest.raises(MalformedCommandError):
        await world.desk.answer(good.model_copy(update={"body": b"{"}))


async def test_a_drain_evicts_what_must_leave_and_nothing_else() -> None:
    world = World()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.add_pod(make_pod("logs", node="n1", owner=Owner("DaemonSet", "logs")))
    world.cluster.add_pod(make_pod("static", node="n1", is_mirror=True))
    world.cluster.add_pod(make_pod("job", node="n1", phase=PodPhase.SUCCEEDED))
    world.cluster.add_pod(make_pod("elsewhere", node="n2"))
    outcome = await world.send(drain())
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.pods_evicted == 1
    assert [call for call in world.cluster.calls if call[0] == "evict"] == [("evict", "shop/web-1")]
    assert world.cluster.nodes["n1"].is_unschedulable


async def test_a_budgets_no_is_asked_again_with_growing_waits() -> None:
    world = World()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 4
    outcome = await world.send(drain())
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.blocked_by == ()
    waited = (world.clock.now() - START).total_seconds()
    assert 7.5 <= waited <= 10  # 0.5 + 1 + 2 + 4, and a poll


async def test_a_blocked_drain_gives_up_at_its_deadline_uncordons_and_says_who() -> None:
    world = World()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.add_pod(make_pod("web-2", node="n1"))
    world.cluster.budget["shop/web-1"] = 1000
    outcome = await world.send(drain(30))
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.blocked_by == ("shop/web-1",)
    assert (outcome.pods_evicted, outcome.pods_remaining) == (1, 1)
    assert "the budget web allows none" in outcome.detail
    assert not world.cluster.nodes["n1"].is_unschedulable
    assert world.cluster.notes
    assert 30 <= (world.clock.now() - START).total_seconds() <= 31


async def test_a_drain_of_an_interrupted_node_keeps_it_cordoned_and_leaves_excluded_pods_alone() -> None:
    world = World()
    world.cluster.add_pod(make_pod("web-1", node="n1", do_not_disrupt=True))
    world.cluster.add_pod(make_pod("dns", namespace="kube-system", node="n1"))
    world.cluster.budget["shop/web-1"] = 1000
    action = drain(30, keep_cordoned_on_failure=True, excluded_namespaces=("kube-system",))
    outcome = await world.send(action)
    assert outcome.status is OutcomeStatus.FAILED
    assert world.cluster.nodes["n1"].is_unschedulable
    assert ("evict", "kube-system/dns") not in world.cluster.calls


@pytest.mark.parametrize(
    ("pod", "limits"),
    [
        (make_pod("web-1", node="n1", do_not_disrupt=True), Limits()),
        (make_pod("web-1", node="n1"), Limits(excluded_namespaces=frozenset({"shop"}))),
        (make_pod("web-1", node="n1", owner=None), Limits()),
    ],
    ids=["do-not-disrupt", "excluded namespace", "nobody would make it again"],
)
async def test_a_drain_that_would_touch_what_it_may_not_is_refused_up_front(pod: Any, limits: Limits) -> None:
    world = World(limits)
    world.cluster.add_pod(pod)
    world.cluster.add_pod(make_pod("other", namespace="free", node="n1"))
    outcome = await world.send(drain())
    assert outcome.status is OutcomeStatus.REFUSED
    assert outcome.blocked_by == ("shop/web-1",)
    assert not world.cluster.calls


async def test_what_a_person_cordoned_stays_cordoned() -> None:
    world = World()
    world.cluster.add_node("n1", is_unschedulable=True)
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 1000
    assert (await world.send(drain(10))).status is OutcomeStatus.FAILED
    assert world.cluster.nodes["n1"].is_unschedulable
    uncordon = await world.send(UncordonNode(node_name="n1"), step=UUID(int=5))
    assert "somebody else" in uncordon.detail
    assert world.cluster.nodes["n1"].is_unschedulable


async def test_an_api_that_is_away_is_waited_for() -> None:
    world = World()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.go_away(3)
    assert (await world.send(drain())).status is OutcomeStatus.SUCCEEDED
    world.cluster.go_away(1000)
    outcome = await world.send(UncordonNode(node_name="n1"), step=UUID(int=5))
    assert outcome.status is OutcomeStatus.FAILED
    assert "before the command expired" in outcome.detail


async def test_a_refusal_in_the_middle_of_a_drain_undoes_the_cordon() -> None:
    world = World()
    hanging = HangingClock()
    world.clock = hanging
    world.desk = world.new_desk()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 2
    assert (await world.send(drain())).status is OutcomeStatus.RUNNING
    world.cluster.next_errors.append(KubernetesRefusedError("forbidden", status=403))
    hanging.go_on.set()
    await until(lambda: not world.desk.is_running(STEP))
    outcome = await world.send(drain())
    assert (outcome.status, outcome.detail) == (OutcomeStatus.FAILED, "forbidden")
    assert not world.cluster.nodes["n1"].is_unschedulable


async def test_a_long_drain_answers_running_and_goes_on() -> None:
    world = World()
    world.clock = hanging = HangingClock()
    world.desk = world.new_desk()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 1
    outcome = await world.send(drain())
    assert (outcome.status, outcome.blocked_by) == (OutcomeStatus.RUNNING, ("shop/web-1",))
    assert (await world.send(drain(), token=2)).status is OutcomeStatus.RUNNING
    hanging.go_on.set()
    await until(lambda: not world.desk.is_running(STEP))
    assert (await world.send(drain(), token=2)).status is OutcomeStatus.SUCCEEDED
    assert world.cluster.calls.count(("cordon", "n1")) == 1


@pytest.mark.parametrize("later", ["uncordon", "interruption"])
async def test_a_later_command_about_the_same_node_ends_a_drain(later: str) -> None:
    world = World()
    hanging = HangingClock()
    world.clock = hanging
    world.desk = world.new_desk()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 1000
    assert (await world.send(drain(30))).status is OutcomeStatus.RUNNING
    forced = drain(60, keep_cordoned_on_failure=True)
    await world.send(UncordonNode(node_name="n1") if later == "uncordon" else forced, step=UUID(int=5))
    hanging.go_on.set()
    await until(lambda: not world.desk.is_running(STEP) and not world.desk.is_running(UUID(int=5)))
    first = await world.send(drain(30))
    assert (first.status, first.detail) == (OutcomeStatus.FAILED, "a later command is about the same node")
    assert world.cluster.nodes["n1"].is_unschedulable is (later == "interruption")
    world.clock.at += timedelta(hours=1)
    await world.release()
    assert world.cluster.nodes["n1"].is_unschedulable is (later == "interruption")


async def interrupted_drain() -> World:
    """A drain that the agent's stop cut short."""
    world = World()
    world.clock = HangingClock()
    world.desk = world.new_desk()
    world.cluster.add_pod(make_pod("web-1", node="n1"))
    world.cluster.budget["shop/web-1"] = 1
    await world.send(drain())
    await world.desk.stop()
    world.clock = SkippingClock()
    world.desk = world.new_desk()
    return world


async def test_after_a_restart_a_drain_is_taken_up_when_asked_again() -> None:
    world = await interrupted_drain()
    assert world.cluster.nodes["n1"].is_unschedulable
    assert (await world.send(drain())).status is OutcomeStatus.SUCCEEDED
    assert world.cluster.calls.count(("cordon", "n1")) == 1


async def test_one_pod_whose_eviction_fails_does_not_keep_the_others() -> None:
    world = World()
    for number in range(20):
        world.cluster.add_pod(make_pod(f"web-{number}", node="n1"))
    world.cluster.broken.add("shop/web-3")
    outcome = await world.send(drain(30))
    assert outcome.blocked_by == ("shop/web-3",)
    assert outcome.pods_evicted == 19


async def test_a_drain_that_nobody_asks_for_any_more_is_undone() -> None:
    world = await interrupted_drain()
    world.clock.at = START + timedelta(minutes=14)
    assert await world.release() == 0
    world.clock.at = START + timedelta(minutes=16)
    assert await world.release() == 1
    assert not world.cluster.nodes["n1"].is_unschedulable
    assert "never finished" in world.cluster.notes[0]
    assert world.journal.records[STEP].outcome.status is OutcomeStatus.FAILED
    assert await world.release() == 0


async def test_a_cordon_that_was_cut_short_is_undone_too() -> None:
    world = World()
    await world.send(CordonNode(node_name="n1"))
    record = world.journal.records[STEP]
    running = CommandOutcome(command_id=STEP, status=OutcomeStatus.RUNNING)
    world.journal.put(replace(record, outcome=running))  # killed before the outcome was kept
    world.desk = world.new_desk()
    world.clock.at = START + timedelta(minutes=16)
    assert await world.release() == 1
    assert not world.cluster.nodes["n1"].is_unschedulable


async def test_a_node_is_deleted_only_for_the_right_instance() -> None:
    world = World()
    wrong = await world.send(DeleteNode(node_name="n1", instance_id="i-other"))
    assert wrong.status is OutcomeStatus.FAILED
    right = DeleteNode(node_name="n1", instance_id="i-n1")
    assert (await world.send(right, step=UUID(int=1))).status is OutcomeStatus.SUCCEEDED
    assert (await world.send(right, step=UUID(int=2))).status is OutcomeStatus.SUCCEEDED  # gone already
    assert not world.cluster.nodes


async def test_eviction_of_one_pod_names_the_budget_that_says_no() -> None:
    world = World()
    pod = make_pod("web-1", node="n1")
    world.cluster.add_pod(pod)
    world.cluster.budget[pod.key] = 1
    action = EvictPod(namespace=pod.namespace, name=pod.name, uid=pod.uid)
    blocked = await world.send(action)
    assert (blocked.status, blocked.blocked_by) == (OutcomeStatus.FAILED, (pod.key,))
    assert (await world.send(action, step=UUID(int=1))).pods_evicted == 1


async def test_scaling_is_guarded_by_the_expected_replicas() -> None:
    world = World()
    world.cluster.workloads["shop/Deployment/web"] = WorkloadState(3, ("app",), "1")

    def scale(replicas: int, expected: int) -> ScaleWorkload:
        return ScaleWorkload(
            namespace="shop",
            workload_kind="Deployment",
            workload_name="web",
            replicas=replicas,
            expected_replicas=expected,
        )

    assert (await world.send(scale(0, 2))).status is OutcomeStatus.FAILED
    assert (await world.send(scale(0, 3), step=UUID(int=1))).status is OutcomeStatus.SUCCEEDED
    assert (await world.send(scale(0, 3), step=UUID(int=2))).status is OutcomeStatus.SUCCEEDED  # it is so
    assert world.cluster.calls == [("scale", "shop/Deployment/web", 0)]


async def test_requests_are_patched_in_the_right_units_and_excluded_namespaces_left_alone() -> None:
    world = World(Limits(excluded_namespaces=frozenset({"kube-system"})))
    world.cluster.workloads["shop/Deployment/web"] = WorkloadState(3, ("app",), "1")

    def patch(namespace: str, container: str) -> PatchRequests:
        return PatchRequests(
            namespace=namespace,
            workload_kind="Deployment",
            workload_name="web",
            container=container,
            cpu_millicores=250,
            memory_bytes=2**28,
        )

    assert (await world.send(patch("shop", "app"))).status is OutcomeStatus.SUCCEEDED
    assert (await world.send(patch("shop", "none"), step=UUID(int=1))).status is OutcomeStatus.FAILED
    refused = await world.send(patch("kube-system", "app"), step=UUID(int=2))
    assert refused.status is OutcomeStatus.REFUSED
    requests = {"cpu": "250m", "memory": str(2**28)}
    assert world.cluster.calls == [("set_requests", "shop/Deployment/web", "app", requests)]
