"""From what agents, pricing and the executor say to booked savings, on a real Postgres."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from services.reporting.adapters.unit_of_work import factory
from services.reporting.errors import BooksUnclosedError
from services.reporting.handlers.begin_baseline import begin_baseline
from services.reporting.handlers.close_slices import close_slices
from services.reporting.handlers.keep_prices import Heard, keep_prices, read_prices
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
from shared.kernel.workload import ClusterObjects, Node, ObjectKind, ObjectRef, Pod
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.postgres import Database
from tests.builders import make_node, make_pod, make_pool
from tests.fakes.reporting import FakePriceSource, SetClock, SteadyIds

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SLICE = timedelta(minutes=5)
SPOT = make_pool(capacity_type=CapacityType.SPOT)
NODE = make_node(capacity_type=CapacityType.SPOT)
PODS = (make_pod("web-0", node=NODE.name, cpu=2000, gib=8),)

MakeDatabase = Callable[[str], Awaitable[Database]]


class World:
    """Says what others would say, at a clock that only the test moves."""

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


@pytest.fixture
async def world(make_database: MakeDatabase) -> World:
    world = World(await make_database("reporting"))
    await world.register()
    return world


async def test_a_slice_is_booked_once_against_the_baseline(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.execution()
    world.clock.move(timedelta(minutes=12))
    await world.heartbeat()
    assert await world.close() == 2
    assert await world.close() == 0
    (one,) = await world.savings()
    # two slices of 5 min: 2 vCPU and 8 GiB cost 0.16 $/h at the baseline, the node 0.06 $/h
    assert (one.cost_usd, one.baseline_cost_usd, one.slices) == (
        Decimal("0.01"),
        Decimal("0.026666666666"),
        2,
    )
    assert one.savings_usd == one.baseline_cost_usd - one.cost_usd
    assert one.node_hours == pytest.approx(1 / 6)
    assert one.unpriced_node_hours == 0
    sent = await world.rows("select subject from outbox")
    assert sent == [("reporting.evt.v1.savings_booked.c1",)] * 2
    costs = await world.rows("select name, sum(cost_usd) from workload_costs group by 1 order by 1")
    assert costs == [("", Decimal("0.005")), ("web", Decimal("0.005"))]


async def test_nothing_is_closed_beyond_what_the_copy_shows(world: World) -> None:
    await world.price("0.06")
    await world.snapshot((NODE,), PODS)
    world.clock.move(timedelta(hours=2))
    assert await world.close() == 0
    assert await world.close() == 0
    ((text,),) = await world.rows("select text from activity")
    assert text.startswith("Nothing heard of cluster prod since 2026-01-01 12:00 UTC")
    await world.heartbeat()
    assert await world.close() == 24


async def test_without_a_baseline_hours_are_kept_and_no_savings(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.execution(dry_run=True)
    world.clock.move(SLICE)
    await world.heartbeat()
    assert await world.close() == 1
    (one,) = await world.savings()
    assert one.slices == 0
    assert one.node_hours == pytest.approx(1 / 12)
    assert await world.rows("select cost_usd from node_hours") == [(Decimal("0.005"),)]


async def test_what_was_spent_before_the_first_baseline_stands_apart(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    world.clock.move(timedelta(minutes=2))
    await world.execution()
    world.clock.move(timedelta(minutes=3))
    await world.heartbeat()
    assert await world.close() == 2
    (one,) = await world.savings()
    assert (one.cost_without_baseline_usd, one.cost_usd) == (Decimal("0.002"), Decimal("0.003"))
    assert one.cost_usd + one.savings_usd == one.baseline_cost_usd


async def test_an_unknown_price_is_in_no_sum(world: World) -> None:
    await world.snapshot((NODE,), PODS)
    await world.execution()
    world.clock.move(SLICE)
    await world.heartbeat()
    assert await world.close() == 1
    (one,) = await world.savings()
    assert {one.cost_usd, one.baseline_cost_usd, one.savings_usd} == {Decimal(0)}
    assert one.unpriced_node_hours == pytest.approx(1 / 12)


async def test_prices_change_and_nodes_come_and_go_within_a_slice(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.price("0.12", at=NOON + timedelta(minutes=3))
    await world.snapshot((NODE,), PODS)
    world.clock.move(timedelta(minutes=1))
    other = make_node("node-2", capacity_type=CapacityType.SPOT, created_at=NOON + timedelta(seconds=30))
    moved = replace(PODS[0], node_name="node-2")
    await world.change(world.delta(nodes=(other,)))
    world.clock.move(timedelta(minutes=3))
    await world.change(world.delta(ObjectRef(ObjectKind.NODE, NODE.name), pods=(moved,)))
    world.clock.move(timedelta(minutes=1))
    await world.heartbeat()
    assert await world.close() == 1
    rows = await world.rows("select node_name, seconds, usd_per_hour from node_hours order by 1, start_at")
    assert rows == [
        ("node-1", 180, Decimal("0.06")),
        ("node-1", 60, Decimal("0.12")),
        ("node-2", 150, Decimal("0.06")),
        ("node-2", 120, Decimal("0.12")),
    ]


async def test_deltas_in_any_order_leave_the_same_books(world: World) -> None:
    await world.snapshot((NODE,), PODS)
    other = make_node("node-2", capacity_type=CapacityType.SPOT)
    first, second = world.delta(nodes=(other,)), world.delta(ObjectRef(ObjectKind.NODE, NODE.name))
    world.clock.move(timedelta(minutes=1))
    await world.change(second, first)
    assert await world.rows("select node_name from node_presence where until is null") == [("node-2",)]
    assert await world.rows("select node_name from node_presence where until is not null") == [(NODE.name,)]


async def test_a_baseline_begins_its_own_slice(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.execution()
    world.clock.move(timedelta(minutes=2))
    await world.execution(vcpu="0", gib="0")
    world.clock.move(timedelta(minutes=3))
    await world.heartbeat()
    assert await world.close() == 2
    rows = await world.rows("select slice_start_at, baseline_cost_usd > 0 from savings order by 1")
    assert rows == [(NOON, True), (NOON + timedelta(minutes=2), False)]


async def test_a_workload_that_grows_does_not_end_the_savings(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.execution()
    grown = world.started(vcpu="0", gib="0").model_copy(update={"trigger": "pending_pods"})
    await world.begin(grown)
    world.clock.move(SLICE)
    await world.heartbeat()
    assert await world.close() == 1
    (one,) = await world.savings()
    assert one.savings_usd > 0


async def test_a_baseline_that_arrives_late_does_not_overtake_a_newer_one(world: World) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    older = world.started(vcpu="1", gib="1")
    world.clock.move(timedelta(minutes=1))
    newer = world.started(vcpu="0", gib="0")
    world.clock.move(timedelta(minutes=4))
    await world.heartbeat()
    assert await world.close() == 1  # before anybody said that an execution had started
    await world.begin(newer, older, newer)
    world.clock.move(SLICE)
    await world.heartbeat()
    assert await world.close() == 1
    (one,) = await world.savings()
    assert (one.baseline_cost_usd, one.savings_usd) == (Decimal(0), Decimal("-0.005"))


@pytest.mark.parametrize(
    ("jump", "seconds"),
    # Set back, a change is booked from when we last heard; set ahead, from now.
    [(timedelta(hours=-2), 120), (timedelta(hours=2), 60), (timedelta(days=365 * 7000), 60)],
)
async def test_an_agents_clock_that_jumps_costs_no_second_twice(
    world: World, jump: timedelta, seconds: int
) -> None:
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    world.clock.move(timedelta(minutes=2))
    for change in (timedelta(0), jump, timedelta(0)):
        resized = replace(NODE, instance_type="m5.large" if change else NODE.instance_type, uid=str(change))
        event = world.delta(nodes=(resized,))
        await world.change(event.model_copy(update={"occurred_at": world.clock.now() + change}))
        world.clock.move(timedelta(minutes=1))
    await world.heartbeat()
    assert await world.close() == 1
    assert await world.rows("select sum(seconds) from node_hours") == [(300,)]
    charged = await world.rows("select cost_usd is null, sum(seconds) from node_hours group by 1 order by 1")
    assert charged == [(False, 300 - seconds), (True, seconds)]  # nobody knows the m5.large's price


async def test_a_cluster_whose_slice_cannot_be_closed_holds_up_no_other(world: World) -> None:
    """A rate of a tiny request times a huge one overflows; its tenant alone shall wait."""
    await world.register("a0", "evil")
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), (make_pod("web-0", node=NODE.name, cpu=1, gib=2**30),), scope="a0")
    await world.snapshot((NODE,), PODS)
    evil = world.started(vcpu="1e12", gib="1e12", scope="a0").model_copy(update={"organization_id": "evil"})
    await world.begin(evil, world.started())
    world.clock.move(SLICE)
    for cluster_id in ("a0", "c1"):
        await world.heartbeat(scope=cluster_id)
    with pytest.raises(BooksUnclosedError, match="a0"):
        await world.close()
    assert [one.slices for one in await world.savings()] == [1]


async def test_a_node_that_does_not_say_is_known_by_its_launch_or_priced_as_on_demand(world: World) -> None:
    silent = replace(NODE, capacity_type=None, zone_id=None)
    stranger = replace(silent, name="node-2", instance_id="i-2")
    await world.price("0.06", at=NOON - SLICE)
    await world.price("0.192", make_pool(zone_id="use1-az4"), at=NOON - SLICE)
    async with world.unit_of_work() as uow:
        await uow.act_for("acme")
        await uow.presence.put_launch("c1", NODE.instance_id or "", SPOT)
    await world.snapshot((silent, stranger))
    world.clock.move(SLICE)
    await world.heartbeat()
    assert await world.close() == 1
    rows = await world.rows("select node_name, usd_per_hour, is_capacity_assumed from node_hours order by 1")
    assert rows == [("node-1", Decimal("0.06"), False), ("node-2", Decimal("0.192"), True)]


async def test_the_table_is_read_for_what_events_no_longer_say(world: World) -> None:
    tables = FakePriceSource({"us-east-1": [(SPOT, NOON, Decimal("0.07"))]})
    heard = Heard()

    async def ask() -> int:
        return await read_prices(
            unit_of_work=world.unit_of_work,
            source=tables,
            clock=world.clock,
            heard=heard,
            read_again_after=SLICE,
        )

    tables.is_away = True
    assert await ask() == 0
    tables.is_away = False
    await world.register("c0", "other", region="aa-nowhere-1")
    assert await ask() == 1
    tables.set("us-east-1", [(SPOT, NOON, Decimal("0.08"))])
    assert await ask() == 0
    tables.set("us-east-1", [(SPOT, NOON + SLICE, Decimal("0.07"))])
    world.clock.move(SLICE)
    assert await ask() == 0
    tables.set("us-east-1", [(SPOT, NOON + SLICE, Decimal("0.08"))])
    world.clock.move(SLICE)
    assert await ask() == 1


async def test_a_table_older_than_the_events_that_were_missed_is_read_again(world: World) -> None:
    tables = FakePriceSource({"us-east-1": [(SPOT, NOON - 3 * SLICE, Decimal("0.07"))]})
    heard = Heard()
    heard.note("us-east-1", 1)
    assert heard.note("us-east-1", 4), "2 and 3 never came"

    async def ask(sequence: int) -> int:
        tables.sequence = sequence
        return await read_prices(
            unit_of_work=world.unit_of_work,
            source=tables,
            clock=world.clock,
            heard=heard,
            read_again_after=SLICE,
        )

    assert await ask(2) == 1, "pricing writes its tables some seconds after its events"
    tables.set("us-east-1", [(SPOT, NOON - 2 * SLICE, Decimal("0.09"))])
    assert await ask(3) == 1
    tables.set("us-east-1", [(SPOT, NOON - SLICE, Decimal("0.11"))])
    assert await ask(5) == 0, "what was missed is known now"


async def test_old_prices_go_and_the_one_in_force_stays(world: World) -> None:
    for hours in (3, 2, 1):
        await world.price(f"0.0{hours}", at=NOON - timedelta(hours=hours))
    async with world.unit_of_work() as uow:
        assert await uow.prices.forget(before=NOON - timedelta(minutes=90)) == 1
        found = await uow.prices.between({SPOT}, NOON - timedelta(minutes=80), NOON)
    assert [p.usd_per_hour for p in found[SPOT]] == [Decimal("0.02"), Decimal("0.01")]


async def test_an_organization_sees_its_own_rows_only(world: World) -> None:
    await world.register("c2", "other")
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.snapshot((NODE,), PODS, scope="c2")
    await world.execution()
    world.clock.move(SLICE)
    await world.heartbeat()
    await world.close()
    assert [s.cluster_id for s in await world.savings()] == ["c1"]
    assert await world.rows("select * from node_hours", "other") == []
    assert len(await world.rows("select * from node_presence", "other")) == 1
    assert await world.rows("select * from savings", "") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.rows(
            "insert into activity values ('acme', gen_random_uuid(), now(), null, 'x', 'x')", "other"
        )


async def test_every_table_with_an_organization_is_forced_to_row_level_security(world: World) -> None:
    rows = await world.rows(
        "select relname, relrowsecurity and relforcerowsecurity from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'"
        " where relkind = 'r' and relnamespace = 'reporting'::regnamespace"
    )
    assert len(rows) > 10
    # The one that says whose a cluster is, which must be known before anybody can act for its organization.
    assert {name for name, is_forced in rows if not is_forced} == {"clusters"}
    passes = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
    assert await world.rows(passes) == [(False,)]
