"""Pools without capacity: the next offering is tried, as long as it is worth it."""

from decimal import Decimal

import pytest

from services.executor.domain.steps import ExecutionStatus
from shared.contracts.v1.executor import CapacityInsufficient, InstanceLaunched
from shared.contracts.v1.plan import Move, MoveKind, MoveReason
from tests.fakes.executor import InMemoryExecutor
from tests.unit.executor.scenes import (
    ON_DEMAND,
    SPOT_A,
    SPOT_B,
    a_world,
    carry_out,
    delete_move,
    offering,
    replace_move,
)

pytestmark = pytest.mark.looptime


def with_resort(move: Move, usd: str) -> Move:
    """Give a move whose launches fall back to on-demand at that price."""
    offers = (offering(SPOT_A), offering(SPOT_B), offering(ON_DEMAND, usd))
    launches = tuple(launch.model_copy(update={"offerings": offers}) for launch in move.launches)
    return move.model_copy(update={"launches": launches})


async def test_a_dry_pool_is_flagged_and_the_next_offering_is_tried() -> None:
    world = a_world()
    world.dry = {SPOT_A}
    store = InMemoryExecutor(world)
    await carry_out(store, replace_move(1, "old-0"), replace_move(2, "old-1"))
    assert [a.error for a in store.tables.attempts.values()].count("InsufficientInstanceCapacity") <= 2
    assert {m.pool for m in store.sent(CapacityInsufficient)} == {SPOT_A}
    assert all(m.pool == SPOT_B for m in store.sent(InstanceLaunched))
    assert len(world.instances) == 2


async def test_when_every_pool_is_dry_the_move_is_left_and_its_node_stays() -> None:
    world = a_world()
    world.dry = {SPOT_A, SPOT_B}
    store = InMemoryExecutor(world)
    moves = replace_move(1, "old-0"), replace_move(2, "old-1", pools=(ON_DEMAND,))
    execution = await carry_out(store, *moves)
    assert execution.status is ExecutionStatus.PARTLY
    assert "every offering was tried" in execution.detail
    assert set(world.nodes) >= {"old-0", "old-2"}
    assert "old-1" not in world.nodes


@pytest.mark.parametrize(
    ("launches", "usd", "is_launched"),
    [(1, "0.145", True), (1, "0.146", False), (2, "0.0975", True), (2, "0.098", False)],
)
async def test_a_move_falls_back_to_no_offering_that_costs_what_it_saves(
    launches: int, usd: str, *, is_launched: bool
) -> None:
    world = a_world()
    world.dry = {SPOT_A, SPOT_B}
    store = InMemoryExecutor(world)
    await carry_out(store, with_resort(replace_move(1, "old-0", launches=launches), usd))
    assert bool(world.instances) is is_launched, "it saves 0.10 USD/h, of which the policy asks for 0.005"
    assert ("old-0" in world.nodes) is not is_launched


async def test_pods_that_wait_get_a_node_at_any_price_that_the_plan_names() -> None:
    world = a_world()
    world.dry = {SPOT_A, SPOT_B}
    store = InMemoryExecutor(world)
    move = with_resort(replace_move(1), "9").model_copy(update={"reason": MoveReason.PENDING_PODS})
    await carry_out(store, move)
    assert [m.pool for m in store.sent(InstanceLaunched)] == [ON_DEMAND]


@pytest.mark.parametrize(("usd", "is_launched"), [("0.1", True), ("0.101", False)])
async def test_room_for_later_moves_costs_no_more_than_the_whole_plan_saves(
    usd: str, *, is_launched: bool
) -> None:
    world = a_world()
    world.dry = {SPOT_A, SPOT_B}
    store = InMemoryExecutor(world)
    room = with_resort(replace_move(1), usd).model_copy(
        update={
            "kind": MoveKind.LAUNCH,
            "reason": MoveReason.MAKING_ROOM,
            "savings_usd_per_hour": Decimal("-0.05"),
        }
    )
    later = delete_move(2, "old-0").model_copy(update={"reason": MoveReason.UNDERUTILIZED})
    await carry_out(store, room, later)
    assert bool(world.instances) is is_launched, (
        "the plan is worth 0.05 USD/h, and the pool of choice costs 0.05"
    )
