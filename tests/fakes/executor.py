"""A fake of the executor's tables: transactions follow one another, roll back, and may be the last thing done."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.executor.domain.offering_choice import Flag
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
    LeaseLostError,
)
from services.executor.handlers.scene import Pace, Tools
from services.executor.ports import Cluster, ClusterConfig, KeptPlan, Picture
from shared.contracts.base import Message
from shared.contracts.v1 import agent
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered
from shared.contracts.v1.plan import Plan
from shared.contracts.v1.policy import Policy
from shared.kernel.pools import PoolKey
from tests.fakes.executor_world import CLUSTER, TEMPLATE, World

PACE = Pace(
    max_launches_in_flight=10,
    copy_max_age=timedelta(seconds=120),
    command_lifetime=timedelta(seconds=30),
    verify_deadline=timedelta(minutes=10),
    cloud_pause=timedelta(seconds=3),
    capacity_flag_lifetime=timedelta(minutes=10),
)


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
