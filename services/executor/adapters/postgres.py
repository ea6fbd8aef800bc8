"""The executor's unit of work, and its smaller tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from services.executor.adapters.postgres_clusters import PictureCache, PostgresClusterRepository
from services.executor.adapters.postgres_executions import PostgresExecutionRepository
from services.executor.domain.offering_choice import Flag
from services.executor.ports import KeptPlan
from shared.contracts.v1.plan import Plan
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.postgres import Connection, Database, Transaction


class PostgresPlanRepository:
    """See ports.PlanRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self, plan: Plan, *, sha256: str) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into approved_plans (plan_id, cluster_id, sha256, plan, status, expires_at)"
            " values ($1, $2, $3, $4, 'proposed', $5) on conflict (plan_id) do nothing",
            plan.id,
            plan.cluster_id,
            sha256,
            plan.model_dump_json(),
            plan.expires_at,
        )

    async def find(self, plan_id: UUID) -> KeptPlan | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select plan, sha256 from approved_plans where plan_id = $1", plan_id
        )
        return None if row is None else KeptPlan(Plan.model_validate_json(row["plan"]), row["sha256"])

    async def note(self, plan_id: UUID, status: str) -> None:
        """See the port."""
        await self._connection.execute(
            "update approved_plans set status = $2 where plan_id = $1", plan_id, status
        )


class PostgresFlagRepository:
    """See ports.FlagRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, flag: Flag) -> None:
        """See the port."""
        pool = flag.pool
        await self._connection.execute(
            """
            insert into pool_flags as held (region, instance_type, zone_id, capacity_type, expires_at)
            values ($1, $2, $3, $4, $5)
            on conflict (region, instance_type, zone_id, capacity_type) do update
            set expires_at = greatest(held.expires_at, excluded.expires_at)
            """,
            pool.region,
            pool.instance_type,
            pool.zone_id,
            pool.capacity_type.value,
            flag.expires_at,
        )

    async def live(self, region: str, *, now: datetime) -> frozenset[PoolKey]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from pool_flags where region = $1 and expires_at > $2", region, now
        )
        return frozenset(
            PoolKey(row["region"], row["instance_type"], row["zone_id"], CapacityType(row["capacity_type"]))
            for row in rows
        )


class PostgresNoticeRepository:
    """See ports.NoticeRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, instance_id: str, kind: str, *, at: datetime) -> bool:
        """See the port."""
        answer = await self._connection.execute(
            "insert into notices (instance_id, kind, received_at) values ($1, $2, $3) on conflict do nothing",
            instance_id,
            kind,
            at,
        )
        return bool(answer == "INSERT 0 1")

    async def execution_of(self, instance_id: str) -> UUID | None:
        """See the port."""
        found: UUID | None = await self._connection.fetchval(
            "select execution_id from notices where instance_id = $1 and execution_id is not null limit 1",
            instance_id,
        )
        return found

    async def begun(self, instance_id: str, kind: str, execution_id: UUID) -> None:
        """See the port."""
        await self._connection.execute(
            "update notices set execution_id = $3 where instance_id = $1 and kind = $2",
            instance_id,
            kind,
            execution_id,
        )


class PostgresUnitOfWork:
    """See ports.UnitOfWork; the transaction itself is the outbox."""

    def __init__(self, transaction: Transaction, cache: PictureCache) -> None:
        connection = transaction.connection
        self.clusters = PostgresClusterRepository(connection, cache)
        self.plans = PostgresPlanRepository(connection)
        self.executions = PostgresExecutionRepository(connection)
        self.flags = PostgresFlagRepository(connection)
        self.notices = PostgresNoticeRepository(connection)
        self.outbox = transaction


class PostgresUnitOfWorkFactory:
    """See ports.UnitOfWorkFactory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache = PictureCache()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresUnitOfWork]:
        """Begin a transaction of its own."""
        async with self._database.transaction() as transaction:
            yield self.within(transaction)

    def within(self, transaction: Transaction) -> PostgresUnitOfWork:
        """Give the unit of work of a transaction that a consumer opened."""
        return PostgresUnitOfWork(transaction, self._cache)
