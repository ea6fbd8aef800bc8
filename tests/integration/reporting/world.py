"""What agents, pricing and the executor would say to reporting, at a clock that only the test moves."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.reporting.adapters.unit_of_work import factory
from services.reporting.handlers.begin_baseline import begin_baseline
from services.reporting.handlers.close_slices import close_slices
from services.reporting.handlers.keep_prices import Heard, keep_prices
from services.reporting.handlers.observe_cluster import note_heartbeat, observe_delta, observe_snapshot
from services.reporting.handlers.register_cluster import register_cluster
from services.reporting.handlers.show_savings import show_savings
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.executor import ExecutionStarted
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.contracts.v1.plan import BaselineRate
from shared.contracts.v1.pricing import OfferingPrice, OfferingPricesChanged
from shared.contracts.v1.reporting import ClusterSavings, GetSavings
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Node, ObjectRef, Pod
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.postgres import Database
from tests.builders import make_node, make_pod, make_pool
from tests.fakes.reporting import SetClock, SteadyIds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SLICE = timedelta(minutes=5)
SPOT = make_pool(capacity_type=CapacityType.SPOT)
NODE = make_node(capacity_type=CapacityType.SPOT)
PODS = (make_pod("web-0", node=NODE.name, cpu=2000, gib=8),)

MakeDatabase = Callable[[str], Awaitable[Database]]


class World:
    """Says what others would say."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.unit_of_work = factory(database)
        self.clock = SetClock(NOON)
        self.ids = SteadyIds()
        self.sequence = 0
        self.epoch = 1

    def make(self, message: type[Any], **fields: Any) -> Any:
        return message.make(scope=fields.pop("scope", "c1"), clock=self.clock, ids=self.ids, **fields)

    async def register(
        self, cluster_id: str = "c1", organization_id: str = "acme", *, region: str = "us-east-1"
    ) -> None:
        account = CloudAccountRef(id="a1", account_number="123456789012", region=region)
        event = self.make(
            ClusterRegistered,
            scope=cluster_id,
            organization_id=organization_id,
            name="prod",
            cloud_account=account,
        )
        async with self.unit_of_work() as uow:
            await register_cluster(event, uow=uow)

    async def snapshot(
        self, nodes: tuple[Node, ...], pods: tuple[Pod, ...] = (), *, scope: str = "c1"
    ) -> None:
        body = encode_chunk(ClusterObjects(nodes=nodes, pods=pods))
        event = self.make(
            SnapshotChunkPublished,
            scope=scope,
            epoch=self.epoch,
            sequence=self.sequence,
            index=0,
            count=1,
            as_of=self.clock.now(),
            body=body,
        )
        async with self.unit_of_work() as uow:
            await observe_snapshot(event, uow=uow, clock=self.clock)

    def delta(
        self, *gone: ObjectRef, nodes: tuple[Node, ...] = (), pods: tuple[Pod, ...] = ()
    ) -> ClusterChanged:
        self.sequence += 1
        event = self.make(
            ClusterChanged,
            epoch=self.epoch,
            sequence=self.sequence,
            upserts=ClusterObjects(nodes=nodes, pods=pods),
            deletes=gone,
        )
        assert isinstance(event, ClusterChanged)
        return event

    async def change(self, *events: ClusterChanged) -> None:
        for event in events:
            async with self.unit_of_work() as uow:
                await observe_delta(event, uow=uow, clock=self.clock)

    async def heartbeat(self, *, scope: str = "c1") -> None:
        event = self.make(
            HeartbeatSent, scope=scope, agent_version="1", epoch=self.epoch, sequence=self.sequence
        )
        async with self.unit_of_work() as uow:
            await note_heartbeat(event, uow=uow)

    async def price(self, usd_per_hour: str, pool: Any = SPOT, *, at: datetime | None = None) -> None:
        price = OfferingPrice(
            pool=pool, usd_per_hour=Decimal(usd_per_hour), effective_at=at or self.clock.now()
        )
        event = self.make(
            OfferingPricesChanged, scope="us-east-1", sequence=1, prices=(price,), as_of=self.clock.now()
        )
        async with self.unit_of_work() as uow:
            await keep_prices(event, uow=uow, heard=Heard())

    def started(
        self, vcpu: str = "0.04", gib: str = "0.01", *, dry_run: bool = False, scope: str = "c1"
    ) -> ExecutionStarted:
        event = self.make(
            ExecutionStarted,
            scope=scope,
            organization_id="acme",
            execution_id=self.ids.new(),
            plan_id=self.ids.new(),
            trigger="timer",
            steps=3,
            baseline_rate=BaselineRate(usd_per_vcpu_hour=Decimal(vcpu), usd_per_gib_hour=Decimal(gib)),
            dry_run=dry_run,
        )
        assert isinstance(event, ExecutionStarted)
        return event

    async def begin(self, *events: ExecutionStarted) -> None:
        for event in events:
            async with self.unit_of_work() as uow:
                await begin_baseline(event, uow=uow)

    async def execution(self, vcpu: str = "0.04", gib: str = "0.01", *, dry_run: bool = False) -> None:
        await self.begin(self.started(vcpu, gib, dry_run=dry_run))

    async def close(self) -> int:
        return await close_slices(
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            length=SLICE,
            settle_for=timedelta(0),
            stale_after=timedelta(hours=1),
        )

    async def savings(self, organization_id: str = "acme") -> tuple[ClusterSavings, ...]:
        request = self.make(GetSavings, scope=organization_id)
        return (await show_savings(request, unit_of_work=self.unit_of_work)).clusters

    async def rows(self, sql: str, organization_id: str = "acme") -> list[tuple[Any, ...]]:
        async with self.database.transaction() as transaction:
            await transaction.connection.execute(
                "select set_config('app.organization_id', $1, true)", organization_id
            )
            return [tuple(row) for row in await transaction.connection.fetch(sql)]

    @classmethod
    async def opened(cls, make_database: MakeDatabase) -> "World":
        """Begin with one cluster, acme's."""
        world = cls(await make_database("reporting"))
        await world.register()
        return world
