"""Executions, steps and attempts in the executor's own schema."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from services.executor.domain.steps import (
    INTERRUPTED,
    Attempt,
    Errand,
    Execution,
    ExecutionStatus,
    Offering,
    Step,
    StepKind,
    StepStatus,
)
from services.executor.errors import LeaseLostError
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.postgres import Connection

Row = Mapping[str, Any]

OFFERINGS = TypeAdapter(tuple[Offering, ...])


class PostgresExecutionRepository:
    """See ports.ExecutionRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, execution: Execution, steps: Sequence[Step]) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into executions (id, organization_id, cluster_id, plan_id, trigger, is_main, status, dry_run,
                stop_requested, detail, started_at, finished_at, expires_at, evict_by)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            execution.id,
            execution.organization_id,
            execution.cluster_id,
            execution.plan_id,
            execution.trigger,
            execution.is_main,
            execution.status.value,
            execution.dry_run,
            execution.stop_requested,
            execution.detail,
            execution.started_at,
            execution.finished_at,
            execution.expires_at,
            execution.evict_by,
        )
        await self._connection.executemany(
            """
            insert into steps (id, execution_id, position, move_id, kind, subject, launch_id, node_name, status,
                detail, finished_at, offerings, pods)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            """,
            [
                (
                    step.id,
                    step.execution_id,
                    step.position,
                    step.move_id,
                    step.kind.value,
                    step.subject,
                    step.launch_id,
                    step.node_name,
                    step.status.value,
                    step.detail,
                    step.finished_at,
                    OFFERINGS.dump_json(step.offerings).decode(),
                    list(step.pods),
                )
                for step in steps
            ],
        )

    async def fence(self, execution_id: UUID, token: int) -> Execution:
        """See the port."""
        row = await self._connection.fetchrow(
            "update executions set fencing_token = $2 where id = $1 and fencing_token <= $2 returning *",
            execution_id,
            token,
        )
        if row is None:
            raise LeaseLostError
        return _execution(row)

    async def finish(self, execution: Execution) -> None:
        """See the port."""
        await self._connection.execute(
            "update executions set status = $2, finished_at = $3, detail = $4 where id = $1",
            execution.id,
            execution.status.value,
            execution.finished_at,
            execution.detail,
        )

    async def note_stall(self, execution_id: UUID, at: datetime | None) -> None:
        """See the port."""
        await self._connection.execute(
            "update executions set stalled_at = $2 where id = $1", execution_id, at
        )

    async def request_stop(self, execution_id: UUID) -> None:
        """See the port."""
        await self._connection.execute(
            "update executions set stop_requested = true where id = $1 and status = 'running'", execution_id
        )

    async def find(self, execution_id: UUID) -> Execution | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from executions where id = $1", execution_id)
        return None if row is None else _execution(row)

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[tuple[Execution, int, int]]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select e.*, count(s.id) as total,
                count(s.id) filter (where s.status not in ('pending', 'running')) as done
            from executions e left join steps s on s.execution_id = e.id
            where e.cluster_id = $1
            group by e.id order by e.started_at desc, e.id desc limit $2
            """,
            cluster_id,
            limit,
        )
        return [(_execution(row), row["total"], row["done"]) for row in rows]

    async def running(self) -> Sequence[Execution]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from executions where status = 'running' order by trigger = 'interrupted' desc, started_at"
        )
        return [_execution(row) for row in rows]

    async def running_of(self, cluster_id: str) -> Sequence[Execution]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from executions where status = 'running' and cluster_id = $1 order by started_at",
            cluster_id,
        )
        return [_execution(row) for row in rows]

    async def of_plan(self, plan_id: UUID) -> Execution | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from executions where plan_id = $1", plan_id)
        return None if row is None else _execution(row)

    async def last_savings_at(self, cluster_id: str) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            "select max(finished_at) from executions"
            " where cluster_id = $1 and is_main and status in ('succeeded', 'partly', 'stopped')",
            cluster_id,
        )
        return found

    async def steps(self, execution_id: UUID) -> Sequence[Step]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from steps where execution_id = $1 order by position", execution_id
        )
        return [_step(row) for row in rows]

    async def step(self, step_id: UUID) -> Step | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from steps where id = $1", step_id)
        return None if row is None else _step(row)

    async def change(self, before: Step, after: Step) -> bool:
        """See the port; what a step is never changes, only how far it is."""
        answer = await self._connection.execute(
            """
            update steps set status = $4, attempts = $5, detail = $6, started_at = $7, finished_at = $8,
                deadline_at = $9, look_again_at = $10, offerings = $11, owners = $12, uncordon = $13,
                instance_id = $14, node_name = $15
            where id = $1 and status = $2 and attempts = $3
            """,
            before.id,
            before.status.value,
            before.attempts,
            after.status.value,
            after.attempts,
            after.detail,
            after.started_at,
            after.finished_at,
            after.deadline_at,
            after.look_again_at,
            OFFERINGS.dump_json(after.offerings).decode(),
            list(after.owners),
            after.uncordon.value,
            after.instance_id,
            after.node_name,
        )
        return bool(answer == "UPDATE 1")

    async def attempts(self, execution_id: UUID) -> Sequence[Attempt]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select a.* from attempts a join steps s on s.id = a.step_id
            where s.execution_id = $1 order by s.position, a.number
            """,
            execution_id,
        )
        return [_attempt(row) for row in rows]

    async def put_attempt(self, attempt: Attempt) -> None:
        """See the port; the request of an attempt never changes."""
        pool = attempt.offering.pool
        await self._connection.execute(
            """
            insert into attempts (step_id, number, region, instance_type, zone_id, capacity_type, usd_per_hour,
                request, made_at, instance_id, error, release)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            on conflict (step_id, number) do update
            set instance_id = excluded.instance_id, error = excluded.error, release = excluded.release
            """,
            attempt.step_id,
            attempt.number,
            pool.region,
            pool.instance_type,
            pool.zone_id,
            pool.capacity_type.value,
            attempt.offering.usd_per_hour,
            attempt.request,
            attempt.made_at,
            attempt.instance_id,
            attempt.error,
            attempt.release.value,
        )

    async def interrupted_nodes(self, cluster_id: str) -> frozenset[str]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select s.node_name from steps s join executions e on e.id = s.execution_id
            where e.cluster_id = $1 and e.status = 'running' and e.trigger = $2 and s.kind = 'cordon'
            """,
            cluster_id,
            INTERRUPTED,
        )
        return frozenset(row["node_name"] for row in rows)

    async def awaited(self, instance_id: str) -> tuple[Step, Execution] | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from steps where instance_id = $1 and kind = 'wait_ready' and status = 'running'",
            instance_id,
        )
        execution = await self.find(row["execution_id"]) if row is not None else None
        return None if row is None or execution is None else (_step(row), execution)

    async def was_terminated(self, instance_id: str) -> bool:
        """See the port."""
        found = await self._connection.fetchval(
            """
            select exists (select from attempts where instance_id = $1 and release <> 'none')
                or exists (
                    select from steps
                    where instance_id = $1 and kind = 'terminate' and status in ('running', 'succeeded')
                )
            """,
            instance_id,
        )
        return bool(found)

    async def note_held_back(self, execution: Execution, step: Step, *, at: datetime, action: str) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into safe_mode_audit (at, organization_id, cluster_id, execution_id, step_id, action)
            values ($1, $2, $3, $4, $5, $6)
            """,
            at,
            execution.organization_id,
            execution.cluster_id,
            execution.id,
            step.id,
            action,
        )


def _execution(row: Row) -> Execution:
    return Execution(
        id=row["id"],
        organization_id=row["organization_id"],
        cluster_id=row["cluster_id"],
        plan_id=row["plan_id"],
        trigger=row["trigger"],
        is_main=row["is_main"],
        status=ExecutionStatus(row["status"]),
        dry_run=row["dry_run"],
        started_at=row["started_at"],
        expires_at=row["expires_at"],
        finished_at=row["finished_at"],
        stop_requested=row["stop_requested"],
        detail=row["detail"],
        evict_by=row["evict_by"],
        stalled_at=row["stalled_at"],
    )


def _step(row: Row) -> Step:
    return Step(
        id=row["id"],
        execution_id=row["execution_id"],
        position=row["position"],
        move_id=row["move_id"],
        kind=StepKind(row["kind"]),
        subject=row["subject"],
        launch_id=row["launch_id"],
        node_name=row["node_name"],
        instance_id=row["instance_id"],
        status=StepStatus(row["status"]),
        attempts=row["attempts"],
        detail=row["detail"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        deadline_at=row["deadline_at"],
        look_again_at=row["look_again_at"],
        offerings=OFFERINGS.validate_json(row["offerings"]),
        pods=tuple(row["pods"]),
        owners=tuple(row["owners"]),
        uncordon=Errand(row["uncordon"]),
    )


def _attempt(row: Row) -> Attempt:
    price: Decimal | None = row["usd_per_hour"]
    pool = PoolKey(row["region"], row["instance_type"], row["zone_id"], CapacityType(row["capacity_type"]))
    return Attempt(
        step_id=row["step_id"],
        number=row["number"],
        offering=Offering(pool, price),
        request=row["request"],
        made_at=row["made_at"],
        instance_id=row["instance_id"],
        error=row["error"],
        release=Errand(row["release"]),
    )
