"""Fakes of services.executor.ports: a store that rolls back, and a small world of one cluster to act on.

The store can die at any commit and the world at any call, before or after it took effect: `Fate` counts both.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.executor.domain.guardrails import pods_left
from services.executor.domain.launch_request import EXECUTION_TAG, STEP_TAG
from services.executor.domain.offering_choice import Flag
from services.executor.domain.replacement import Quoted
from services.executor.domain.steps import (
    Attempt,
    Errand,
    Execution,
    ExecutionStatus,
    Step,
    StepKind,
    StepStatus,
)
from services.executor.errors import (
    AgentAwayError,
    CloudUnavailableError,
    LeaseLostError,
    QuotesUnavailableError,
)
from services.executor.ports import (
    Blame,
    Cluster,
    ClusterConfig,
    KeptPlan,
    LaunchAnswer,
    Pace,
    Picture,
    Switch,
    Tools,
)
from shared.contracts.base import Message
from shared.contracts.v1 import agent
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered
from shared.contracts.v1.plan import Plan
from shared.contracts.v1.policy import NodeTemplate, Policy, SubnetRef
from shared.kernel.capacity import InstanceType
from shared.kernel.clock import Clock
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod
from tests.builders import make_node

CLUSTER = Cluster("c1", "org1", "prod", "123456789012", "us-east-1")
TEMPLATE = NodeTemplate(
    launch_template_id="lt-1",
    subnets=(
        SubnetRef(subnet_id="subnet-a", zone="us-east-1a", zone_id="use1-az1"),
        SubnetRef(subnet_id="subnet-b", zone="us-east-1b", zone_id="use1-az2"),
    ),
)
PACE = Pace(
    max_launches_in_flight=10,
    copy_max_age=timedelta(seconds=120),
    command_lifetime=timedelta(seconds=30),
    verify_deadline=timedelta(minutes=10),
    cloud_pause=timedelta(seconds=3),
    capacity_flag_lifetime=timedelta(minutes=10),
)


class DiedError(Exception):
    """The process was killed here."""


class Fate:
    """Dies at one point; every commit and every call out has a point before and one after."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            raise DiedError


class CountingIds:
    """Ids in order."""

    def __init__(self) -> None:
        self.made = 0

    def new(self) -> UUID:
        self.made += 1
        return UUID(int=self.made)


@dataclass
class Tables:
    """What is stored."""

    configs: dict[str, ClusterConfig] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    plans: dict[UUID, KeptPlan] = field(default_factory=dict)
    plan_status: dict[UUID, str] = field(default_factory=dict)
    executions: dict[UUID, Execution] = field(default_factory=dict)
    tokens: dict[UUID, int] = field(default_factory=dict)
    steps: dict[UUID, Step] = field(default_factory=dict)
    attempts: dict[tuple[UUID, int], Attempt] = field(default_factory=dict)
    flags: dict[PoolKey, datetime] = field(default_factory=dict)
    notices: dict[tuple[str, str], UUID | None] = field(default_factory=dict)
    held_back: list[str] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def copied(self) -> "Tables":
        return Tables(**{name: copy(value) for name, value in vars(self).items()})


class World:
    """One cluster with its cloud and its agent."""

    def __init__(self, clock: Clock, nodes: Sequence[Node] = (), pods: Sequence[Pod] = ()) -> None:
        self.clock = clock
        self.fate = Fate()
        self.nodes = {node.name: node for node in nodes}
        self.pods = {pod.key: pod for pod in pods}
        self.instances: dict[str, Mapping[str, str]] = {}
        """Tags of every instance ever launched."""
        self.by_token: dict[str, str] = {}
        self.terminated: list[str] = []
        self.boot = timedelta(seconds=40)
        self.joins_at: dict[str, datetime] = {}
        self.never_ready: set[str] = set()
        """Instance types whose nodes never become Ready."""
        self.dry: set[PoolKey] = set()
        self.requests: list[Mapping[str, Any]] = []
        self.commands: list[agent.AgentCommand] = []
        self.blocked: dict[str, str] = {}
        """Pod that blocks the drain of a node."""
        self.drain_polls: dict[UUID, int] = {}
        self.agent_is_away = False
        self.agent_seconds = 0.0
        """How long an answer takes."""
        self.cloud_is_away = False
        self.quoted: tuple[Sequence[Quoted], Mapping[str, InstanceType]] | None = None
        self.switch = Switch.OFF
        self.as_of: datetime | None = None
        self.killed_pods: list[str] = []

    # the agent's picture

    def picture(self) -> Picture:
        now = self.clock.now()
        for instance_id, joins_at in list(self.joins_at.items()):
            if joins_at <= now and instance_id not in self.terminated:
                del self.joins_at[instance_id]
                self._join(instance_id)
        nodes = tuple(self.nodes[name] for name in sorted(self.nodes))
        objects = ClusterObjects(nodes=nodes, pods=tuple(self.pods[key] for key in sorted(self.pods)))
        return Picture(objects, self.as_of or now)

    def _join(self, instance_id: str) -> None:
        tags = self.instances[instance_id]
        name = f"node-{instance_id}"
        self.nodes[name] = make_node(
            name,
            instance_id=instance_id,
            instance_type=tags["type"],
            capacity_type=CapacityType(tags["capacity"]),
            is_ready=tags["type"] not in self.never_ready,
        )

    # ports.Cloud

    async def launch(self, cluster_id: str, request: str) -> LaunchAnswer:
        assert cluster_id == CLUSTER.cluster_id
        if self.cloud_is_away:
            raise CloudUnavailableError
        self.fate.point()
        asked = json.loads(request)
        self.requests.append(asked)
        token = asked["ClientToken"]
        if token not in self.by_token:
            override = asked["LaunchTemplateConfigs"][0]["Overrides"][0]
            kind = asked["TargetCapacitySpecification"]["DefaultTargetCapacityType"]
            zone_id = next(s.zone_id for s in TEMPLATE.subnets if s.subnet_id == override["SubnetId"])
            pool = PoolKey("us-east-1", override["InstanceType"], zone_id, CapacityType(kind))
            if pool in self.dry:
                return LaunchAnswer(None, "InsufficientInstanceCapacity", "", blame=Blame.POOL)
            instance_id = f"i-{len(self.instances):04d}"
            tags = {tag["Key"]: tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"]}
            self.instances[instance_id] = tags | {"type": pool.instance_type, "capacity": kind}
            self.by_token[token] = instance_id
            self.joins_at[instance_id] = self.clock.now() + self.boot
        self.fate.point()
        return LaunchAnswer(self.by_token[token])

    async def terminate(self, cluster_id: str, instance_id: str) -> None:
        if self.cloud_is_away:
            raise CloudUnavailableError
        self.fate.point()
        if instance_id not in self.terminated:
            self.terminated.append(instance_id)
            for node in [n for n in self.nodes.values() if n.instance_id == instance_id]:
                self.killed_pods += [pod.key for pod in pods_left(self.picture().objects, node.name)]
                del self.nodes[node.name]
        self.fate.point()

    async def is_gone(self, cluster_id: str, instance_id: str) -> bool:
        return instance_id in self.terminated

    async def launched_for(self, cluster_id: str, execution_id: UUID) -> Mapping[str, str]:
        return {
            instance_id: tags[STEP_TAG]
            for instance_id, tags in self.instances.items()
            if tags[EXECUTION_TAG] == str(execution_id) and instance_id not in self.terminated
        }

    # ports.Agents

    async def send(self, command: agent.AgentCommand) -> agent.CommandOutcome:
        if self.agent_is_away:
            raise AgentAwayError
        await asyncio.sleep(self.agent_seconds)
        self.fate.point()
        self.commands.append(command)
        status, detail, blocked = self._carry_out(command)
        self.fate.point()
        return agent.CommandOutcome(command_id=command.id, status=status, detail=detail, blocked_by=blocked)

    def _carry_out(self, command: agent.AgentCommand) -> tuple[agent.OutcomeStatus, str, tuple[str, ...]]:
        match command.action:
            case agent.CordonNode(node_name=name):
                self.nodes[name] = replace(self.nodes[name], is_unschedulable=True)
            case agent.UncordonNode(node_name=name):
                self.nodes[name] = replace(self.nodes[name], is_unschedulable=False)
            case agent.DrainNode(node_name=name, deadline_at=deadline_at) as drain:
                if name in self.blocked:
                    if self.clock.now() < deadline_at:
                        return agent.OutcomeStatus.RUNNING, "", ()
                    if not drain.keep_cordoned_on_failure:
                        self.nodes[name] = replace(self.nodes[name], is_unschedulable=False)
                    return agent.OutcomeStatus.FAILED, "blocked until the deadline", (self.blocked[name],)
                self.drain_polls[command.id] = self.drain_polls.get(command.id, 0) + 1
                if self.drain_polls[command.id] < 3:
                    return agent.OutcomeStatus.RUNNING, "", ()
                self._evict(name)
            case agent.DeleteNode(node_name=name):
                self.nodes.pop(name, None)
            case _:
                raise AssertionError(command.action)
        return agent.OutcomeStatus.SUCCEEDED, "", ()

    def _evict(self, name: str) -> None:
        """Make every pod of the node anew where the scheduler finds room, or pending."""
        for pod in pods_left(self.picture().objects, name):
            del self.pods[pod.key]
            view = ClusterView.of(self.picture().objects)
            fresh = replace(pod, node_name=None, created_at=self.clock.now(), uid=f"{pod.uid}+")
            target = next((n for n in view.node_names if view.fits(fresh, n)), None)
            self.pods[pod.key] = replace(fresh, node_name=target)

    # ports.Quotes, ports.SafeModeSwitch

    async def quotes(self, region: str) -> tuple[Sequence[Quoted], Mapping[str, InstanceType]]:
        if self.quoted is None:
            raise QuotesUnavailableError
        return self.quoted

    async def read(self, *, organization_id: str, cluster_id: str) -> Switch:
        return self.switch


class InMemoryExecutor:
    """A unit of work factory over tables in memory; transactions follow one another and roll back."""

    def __init__(self, world: World, *, policy: Policy | None = None) -> None:
        self.world = world
        self.tables = Tables(
            clusters={CLUSTER.cluster_id: CLUSTER},
            configs={CLUSTER.cluster_id: ClusterConfig(1, policy or Policy(), TEMPLATE)},
        )
        self.in_flight: dict[UUID, dict[tuple[UUID, str], asyncio.Task[None]]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def kill(self) -> None:
        """End everything the process was at."""
        tasks = [task for begun in self.in_flight.values() for task in begun.values()]
        self.in_flight.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["InMemoryUnitOfWork"]:
        async with self._one_at_a_time:
            tables = self.tables.copied()
            yield InMemoryUnitOfWork(tables, self.world)
            if tables != self.tables:
                self.world.fate.point()
                self.tables = tables
                self.world.fate.point()

    def sent(self, message_class: type[Any]) -> list[Any]:
        return [message for message in self.tables.sent if isinstance(message, message_class)]

    def steps(self, kind: StepKind | None = None) -> list[Step]:
        found = sorted(self.tables.steps.values(), key=lambda s: (s.execution_id, s.position))
        return [step for step in found if kind is None or step.kind is kind]


def tools_for(world: World, store: InMemoryExecutor, *, pace: Pace = PACE) -> Tools:
    """Everything a handler needs, from one world."""
    return Tools(
        unit_of_work=store,
        cloud=world,
        agents=world,
        quotes=world,
        safe_mode=world,
        clock=world.clock,
        ids=CountingIds(),
        pace=pace,
    )


class InMemoryUnitOfWork:
    """Every repository over the same copy of the tables."""

    def __init__(self, tables: Tables, world: World) -> None:
        self.clusters = InMemoryClusters(tables, world)
        self.plans = InMemoryPlans(tables)
        self.executions = InMemoryExecutions(tables)
        self.flags = InMemoryFlags(tables)
        self.notices = InMemoryNotices(tables)
        self.outbox = InMemoryOutbox(tables)


class InMemoryOutbox:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, message: Message) -> None:
        self._tables.sent.append(message)


class InMemoryClusters:
    def __init__(self, tables: Tables, world: World) -> None:
        self._tables = tables
        self._world = world

    async def register(self, event: ClusterRegistered) -> None:
        raise AssertionError("not in unit tests")

    async def configure(self, event: ClusterConfigured) -> None:
        raise AssertionError("not in unit tests")

    async def add_chunk(self, event: agent.SnapshotChunkPublished) -> None:
        raise AssertionError("not in unit tests")

    async def apply(self, event: agent.ClusterChanged) -> None:
        raise AssertionError("not in unit tests")

    async def note_heartbeat(self, event: agent.HeartbeatSent) -> None:
        raise AssertionError("not in unit tests")

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        return ()

    async def cluster(self, cluster_id: str) -> Cluster | None:
        return self._tables.clusters.get(cluster_id)

    async def config(self, cluster_id: str) -> ClusterConfig | None:
        return self._tables.configs.get(cluster_id)

    async def picture(self, cluster_id: str) -> Picture | None:
        return self._world.picture()

    async def clusters_of_instance(self, instance_id: str, *, account: str) -> Sequence[tuple[str, str]]:
        if account != CLUSTER.account_number:
            return []
        nodes = self._world.picture().objects.nodes
        return [(CLUSTER.cluster_id, n.name) for n in nodes if n.instance_id == instance_id]


class InMemoryPlans:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def keep(self, plan: Plan, *, sha256: str) -> None:
        self._tables.plans.setdefault(plan.id, KeptPlan(plan, sha256))

    async def find(self, plan_id: UUID) -> KeptPlan | None:
        return self._tables.plans.get(plan_id)

    async def note(self, plan_id: UUID, status: str) -> None:
        self._tables.plan_status[plan_id] = status


class InMemoryFlags:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def put(self, flag: Flag) -> None:
        held = self._tables.flags.get(flag.pool, flag.expires_at)
        self._tables.flags[flag.pool] = max(held, flag.expires_at)

    async def live(self, region: str, *, now: datetime) -> frozenset[PoolKey]:
        return frozenset(p for p, until in self._tables.flags.items() if until > now and p.region == region)


class InMemoryNotices:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, instance_id: str, kind: str, *, at: datetime) -> bool:
        is_new = (instance_id, kind) not in self._tables.notices
        self._tables.notices.setdefault((instance_id, kind), None)
        return is_new

    async def execution_of(self, instance_id: str) -> UUID | None:
        found = (e for (i, _), e in self._tables.notices.items() if i == instance_id and e is not None)
        return next(found, None)

    async def begun(self, instance_id: str, kind: str, execution_id: UUID) -> None:
        self._tables.notices[(instance_id, kind)] = execution_id


class InMemoryExecutions:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, execution: Execution, steps: Sequence[Step]) -> None:
        assert execution.id not in self._tables.executions
        self._tables.executions[execution.id] = execution
        self._tables.steps.update({step.id: step for step in steps})

    async def fence(self, execution_id: UUID, token: int) -> Execution:
        if self._tables.tokens.get(execution_id, 0) > token:
            raise LeaseLostError
        self._tables.tokens[execution_id] = token
        return self._tables.executions[execution_id]

    async def finish(self, execution: Execution) -> None:
        held = self._tables.executions[execution.id]
        self._tables.executions[execution.id] = replace(
            held, status=execution.status, finished_at=execution.finished_at, detail=execution.detail
        )

    async def note_stall(self, execution_id: UUID, at: datetime | None) -> None:
        held = self._tables.executions[execution_id]
        self._tables.executions[execution_id] = replace(held, stalled_at=at)

    async def request_stop(self, execution_id: UUID) -> None:
        held = self._tables.executions[execution_id]
        if held.status is ExecutionStatus.RUNNING:
            self._tables.executions[execution_id] = replace(held, stop_requested=True)

    async def find(self, execution_id: UUID) -> Execution | None:
        return self._tables.executions.get(execution_id)

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[tuple[Execution, int, int]]:
        found = [e for e in self._tables.executions.values() if e.cluster_id == cluster_id]
        newest = sorted(found, key=lambda e: (e.started_at, e.id), reverse=True)[:limit]
        counted = []
        for execution in newest:
            steps = await self.steps(execution.id)
            counted.append((execution, len(steps), sum(s.status.is_over for s in steps)))
        return counted

    async def running(self) -> Sequence[Execution]:
        return [e for e in self._tables.executions.values() if e.status is ExecutionStatus.RUNNING]

    async def running_of(self, cluster_id: str) -> Sequence[Execution]:
        return [e for e in await self.running() if e.cluster_id == cluster_id]

    async def of_plan(self, plan_id: UUID) -> Execution | None:
        return next((e for e in self._tables.executions.values() if e.plan_id == plan_id), None)

    async def last_savings_at(self, cluster_id: str) -> datetime | None:
        done = (ExecutionStatus.SUCCEEDED, ExecutionStatus.PARTLY, ExecutionStatus.STOPPED)
        ends = [
            e.finished_at
            for e in self._tables.executions.values()
            if e.cluster_id == cluster_id and e.is_main and e.status in done and e.finished_at
        ]
        return max(ends, default=None)

    async def steps(self, execution_id: UUID) -> Sequence[Step]:
        found = [s for s in self._tables.steps.values() if s.execution_id == execution_id]
        return sorted(found, key=lambda s: s.position)

    async def step(self, step_id: UUID) -> Step | None:
        return self._tables.steps.get(step_id)

    async def change(self, before: Step, after: Step) -> bool:
        held = self._tables.steps[before.id]
        if (held.status, held.attempts) != (before.status, before.attempts):
            return False
        self._tables.steps[before.id] = after
        return True

    async def attempts(self, execution_id: UUID) -> Sequence[Attempt]:
        positions = {s.id: s.position for s in await self.steps(execution_id)}
        found = [a for a in self._tables.attempts.values() if a.step_id in positions]
        return sorted(found, key=lambda a: (positions[a.step_id], a.number))

    async def put_attempt(self, attempt: Attempt) -> None:
        self._tables.attempts[(attempt.step_id, attempt.number)] = attempt

    async def interrupted_nodes(self, cluster_id: str) -> frozenset[str]:
        running = {e.id for e in await self.running_of(cluster_id) if e.is_interruption}
        return frozenset(
            s.node_name or ""
            for s in self._tables.steps.values()
            if s.execution_id in running and s.kind is StepKind.CORDON
        )

    async def awaited(self, instance_id: str) -> tuple[Step, Execution] | None:
        for step in self._tables.steps.values():
            if (step.kind, step.status) == (StepKind.WAIT_READY, StepStatus.RUNNING) and (
                step.instance_id == instance_id
            ):
                return step, self._tables.executions[step.execution_id]
        return None

    async def was_terminated(self, instance_id: str) -> bool:
        released = any(
            a.instance_id == instance_id and a.release is not Errand.NONE
            for a in self._tables.attempts.values()
        )
        return released or any(
            s.instance_id == instance_id
            and s.kind is StepKind.TERMINATE
            and s.status in (StepStatus.RUNNING, StepStatus.SUCCEEDED)
            for s in self._tables.steps.values()
        )

    async def note_held_back(self, execution: Execution, step: Step, *, at: datetime, action: str) -> None:
        self._tables.held_back.append(action)
