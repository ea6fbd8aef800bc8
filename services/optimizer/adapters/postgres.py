"""Plans in the optimizer's own schema."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.optimizer.adapters.clusters import PostgresClusterRepository
from services.optimizer.ports import Config, Finished, Skip, StoredPlan, UnitOfWorkFactory, Wanted
from shared.contracts.v1.agent import PodUsage
from shared.contracts.v1.plan import Plan, PlanTrigger
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.runtime.postgres import Connection, Database, Transaction


class PostgresPlanRepository:
    """See ports.PlanRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put_config(self, cluster_id: str, config: Config) -> bool:
        """See the port."""
        answer = await self._connection.execute(
            """
            insert into configs as held (cluster_id, organization_id, revision, policy, node_template)
            values ($1, $2, $3, $4, $5)
            on conflict (cluster_id) do update set revision = excluded.revision, policy = excluded.policy,
                node_template = excluded.node_template, organization_id = excluded.organization_id
            where excluded.revision > held.revision
            """,
            cluster_id,
            config.organization_id,
            config.revision,
            config.policy.model_dump_json(),
            config.node_template.model_dump_json(),
        )
        return bool(answer.endswith(" 1"))

    async def config(self, cluster_id: str) -> Config | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from configs where cluster_id = $1", cluster_id)
        if row is None:
            return None
        return Config(
            row["organization_id"],
            row["revision"],
            Policy.model_validate_json(row["policy"]),
            NodeTemplate.model_validate_json(row["node_template"]),
        )

    async def want(
        self, cluster_id: str, trigger: PlanTrigger, *, requested_by: str, due_at: datetime
    ) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into wanted_plans as held (cluster_id, trigger, requested_by, due_at)
            values ($1, $2, $3, $4)
            on conflict (cluster_id, trigger) do update
            set version = held.version + 1, due_at = least(held.due_at, excluded.due_at)
            """,
            cluster_id,
            trigger.value,
            requested_by,
            due_at,
        )

    async def want_all(self, trigger: PlanTrigger, *, requested_by: str, due_at: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into wanted_plans (cluster_id, trigger, requested_by, due_at)"
            " select cluster_id, $1, $2, $3 from configs on conflict do nothing",
            trigger.value,
            requested_by,
            due_at,
        )

    async def due(self, *, now: datetime, limit: int) -> Sequence[Wanted]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from wanted_plans where due_at <= $1 order by due_at limit $2", now, limit
        )
        return [
            Wanted(r["cluster_id"], PlanTrigger(r["trigger"]), r["requested_by"], r["version"]) for r in rows
        ]

    async def is_wanted(self, wanted: Wanted, *, now: datetime) -> bool:
        """See the port."""
        found: bool = await self._connection.fetchval(
            """
            select exists (
                select 1 from wanted_plans
                where cluster_id = $1 and trigger = $2 and version = $3 and due_at <= $4
            )
            """,
            wanted.cluster_id,
            wanted.trigger.value,
            wanted.version,
            now,
        )
        return found

    async def done(self, wanted: Wanted) -> None:
        """See the port."""
        await self._connection.execute(
            "delete from wanted_plans where cluster_id = $1 and trigger = $2 and version = $3",
            wanted.cluster_id,
            wanted.trigger.value,
            wanted.version,
        )

    async def add_plan(self, stored: StoredPlan) -> None:
        """See the port."""
        plan = stored.plan
        await self._connection.execute(
            "insert into plans (id, cluster_id, organization_id, created_at, trigger, sha256, body)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            plan.id,
            plan.cluster_id,
            plan.organization_id,
            plan.created_at,
            plan.trigger.value,
            stored.sha256,
            plan.model_dump_json().encode(),
        )

    async def plans(self, cluster_id: str, *, limit: int) -> Sequence[Plan]:
        """See the port."""
        rows = await self._connection.fetch(
            "select body from plans where cluster_id = $1 order by created_at desc limit $2",
            cluster_id,
            limit,
        )
        return [Plan.model_validate_json(row["body"]) for row in rows]

    async def plan(self, cluster_id: str, plan_id: UUID) -> StoredPlan | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select body, sha256 from plans where cluster_id = $1 and id = $2", cluster_id, plan_id
        )
        return None if row is None else StoredPlan(Plan.model_validate_json(row["body"]), row["sha256"])

    async def put_skip(self, cluster_id: str, skip: Skip) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into planning_skips (cluster_id, at, trigger, reason) values ($1, $2, $3, $4)"
            " on conflict (cluster_id) do update"
            " set at = excluded.at, trigger = excluded.trigger, reason = excluded.reason",
            cluster_id,
            skip.at,
            skip.trigger.value,
            skip.reason,
        )

    async def skip(self, cluster_id: str) -> Skip | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from planning_skips where cluster_id = $1", cluster_id
        )
        return None if row is None else Skip(row["at"], PlanTrigger(row["trigger"]), row["reason"])

    async def execution_started(
        self, cluster_id: str, execution_id: UUID, *, plan_id: UUID | None, trigger: str, at: datetime
    ) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into executions (id, cluster_id, plan_id, trigger, started_at) values ($1, $2, $3, $4, $5)
            on conflict (id) do update set plan_id = excluded.plan_id, trigger = excluded.trigger,
                started_at = excluded.started_at
            """,
            execution_id,
            cluster_id,
            plan_id,
            trigger,
            at,
        )

    async def execution_finished(
        self, cluster_id: str, execution_id: UUID, *, at: datetime, has_succeeded: bool
    ) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into executions (id, cluster_id, trigger, started_at, finished_at, has_succeeded)
            values ($1, $2, 'unknown', $3, $3, $4)
            on conflict (id) do update set finished_at = excluded.finished_at,
                has_succeeded = excluded.has_succeeded
            """,
            execution_id,
            cluster_id,
            at,
            has_succeeded,
        )

    async def open_plan_at(
        self, cluster_id: str, trigger: PlanTrigger, *, since: datetime
    ) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            """
            select max(p.created_at) from plans p
            where p.cluster_id = $1 and p.trigger = $2 and p.created_at >= $3
              and not exists (select 1 from executions e where e.plan_id = p.id)
            """,
            cluster_id,
            trigger.value,
            since,
        )
        return found

    async def running(self, cluster_id: str) -> Sequence[str]:
        """See the port."""
        rows = await self._connection.fetch(
            "select trigger from executions where cluster_id = $1 and finished_at is null", cluster_id
        )
        return [row["trigger"] for row in rows]

    async def last_finished(self, cluster_id: str) -> Finished | None:
        """See the port."""
        row = await self._connection.fetchrow(
            """
            select plan_id, finished_at, coalesce(has_succeeded, false) as has_succeeded from executions
            where cluster_id = $1 and finished_at is not null order by finished_at desc, id limit 1
            """,
            cluster_id,
        )
        return None if row is None else Finished(row["plan_id"], row["finished_at"], row["has_succeeded"])

    async def add_usage(
        self, cluster_id: str, usage: Sequence[tuple[str, PodUsage]], *, at: datetime
    ) -> None:
        """See the port."""
        by_workload: dict[str, list[PodUsage]] = defaultdict(list)
        for workload, sample in usage:
            by_workload[workload].append(sample)
        await self._connection.executemany(
            """
            insert into workload_usage as held values ($1, $2, $3, $4, $5, $6, $7, $8, $8)
            on conflict (cluster_id, workload) do update set
                samples = held.samples + excluded.samples,
                cpu_millicores_max = greatest(held.cpu_millicores_max, excluded.cpu_millicores_max),
                cpu_millicores_sum = held.cpu_millicores_sum + excluded.cpu_millicores_sum,
                memory_bytes_max = greatest(held.memory_bytes_max, excluded.memory_bytes_max),
                memory_bytes_sum = held.memory_bytes_sum + excluded.memory_bytes_sum,
                last_at = greatest(held.last_at, excluded.last_at)
            """,
            [_usage_row(cluster_id, name, by_workload[name], at) for name in sorted(by_workload)],
        )


def _usage_row(cluster_id: str, workload: str, samples: Sequence[PodUsage], at: datetime) -> tuple[Any, ...]:
    return (
        cluster_id,
        workload,
        len(samples),
        max(s.cpu_millicores for s in samples),
        sum(s.cpu_millicores for s in samples),
        max(s.memory_bytes for s in samples),
        sum(s.memory_bytes for s in samples),
        at,
    )


class PostgresUnitOfWork:
    """See ports.UnitOfWork."""

    def __init__(self, transaction: Transaction) -> None:
        self.clusters = PostgresClusterRepository(transaction.connection)
        self.plans = PostgresPlanRepository(transaction.connection)
        self.outbox = transaction


def factory(database: Database) -> UnitOfWorkFactory:
    """Give what opens units of work on this database."""
    return database.units(PostgresUnitOfWork)
