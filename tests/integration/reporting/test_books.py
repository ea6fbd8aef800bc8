"""From what agents, pricing and the executor say to booked savings, on a real Postgres."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.reporting.errors import BooksUnclosedError
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ObjectKind, ObjectRef
from tests.builders import make_node, make_pod, make_pool
from tests.integration.reporting.world import NODE, NOON, PODS, SLICE, SPOT, MakeDatabase, World

pytestmark = pytest.mark.postgres


@pytest.fixture
async def world(make_database: MakeDatabase) -> World:
    return await World.opened(make_database)


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
