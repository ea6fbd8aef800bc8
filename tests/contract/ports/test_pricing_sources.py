"""History and sources in memory and in Postgres keep the same promises."""

from datetime import date, timedelta
from decimal import Decimal

from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.refusals import RefusalReason, RefusedRow
from services.pricing.domain.regions import UsedRegion
from services.pricing.ports import UnitOfWork
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

HOUR = timedelta(hours=1)
REGION = "us-east-1"
SPOT = make_pool(capacity_type=CapacityType.SPOT)
OTHER = make_pool(zone_id="use1-az2", capacity_type=CapacityType.SPOT)


def point(usd: str, *, hours: float, pool: PoolKey = SPOT) -> PricePoint:
    return PricePoint(pool, Decimal(usd), EPOCH + hours * HOUR)


async def test_a_price_that_is_said_again_is_no_change(uow: UnitOfWork) -> None:
    rows = [
        point("0.1", hours=0),
        point("0.1", hours=24),
        point("0.2", hours=30),
        point("0.2", hours=54),
        point("0.1", hours=60),
        point("0.1", hours=60, pool=OTHER),
    ]
    assert await uow.offerings.add_points(rows[::-1]) == 4
    assert await uow.offerings.add_points(rows) == 0
    assert await uow.offerings.add_points([point("0.1", hours=84), point("0.3", hours=90)]) == 1


async def test_a_change_that_comes_late_stands_between_what_is_known(uow: UnitOfWork) -> None:
    await uow.offerings.add_points([point("0.1", hours=0), point("0.3", hours=10)])
    assert await uow.offerings.add_points([point("0.1", hours=5)]) == 0
    assert await uow.offerings.add_points([point("0.2", hours=5)]) == 1
    # In one batch with its neighbours in the table between its own.
    assert await uow.offerings.add_points([point("0.2", hours=6), point("0.3", hours=11)]) == 0
    assert await uow.offerings.add_points([point("0.3", hours=7), point("0.2", hours=12)]) == 2


async def test_of_two_prices_at_one_instant_the_dearer_is_kept(uow: UnitOfWork) -> None:
    assert await uow.offerings.add_points([point("0.1", hours=0), point("0.2", hours=0)]) == 1
    assert await uow.offerings.add_points([point("0.2", hours=1)]) == 0


async def test_months_are_made_once_and_go_when_folded_or_dropped(uow: UnitOfWork) -> None:
    months = [date(2031, 1, 1), date(2031, 2, 1)]
    assert await uow.history.ensure_months([*months, date(2031, 1, 17)]) == 4
    assert await uow.history.ensure_months(months) == 0
    assert set(months) <= set(await uow.history.event_months())
    assert set(months) <= set(await uow.history.day_months())
    assert await uow.history.fold_month(months[0]) == 0
    assert months[0] not in await uow.history.event_months()
    assert months[0] in await uow.history.day_months()
    assert await uow.history.fold_month(months[0]) == 0, "folding again does nothing"
    assert await uow.history.drop_month(months[0])
    assert not await uow.history.drop_month(months[0])
    assert list(await uow.history.day_months()) == sorted(await uow.history.day_months())


async def test_the_quarantine_counts_what_it_knows_and_keeps_the_newest(uow: UnitOfWork) -> None:
    rows = [RefusedRow(RefusalReason.NOT_A_NUMBER, f"row {number}") for number in range(4)]
    await uow.sources.quarantine(REGION, "price_list", [*rows, rows[0]], seen_at=EPOCH)
    await uow.sources.quarantine(REGION, "price_list", rows[2:], seen_at=EPOCH + HOUR)
    await uow.sources.quarantine(REGION, "other", rows[:1], seen_at=EPOCH)
    assert await uow.sources.trim_quarantine(keep=3) == 1
    assert await uow.sources.trim_quarantine(keep=2) == 1
    assert await uow.sources.trim_quarantine(keep=2) == 0


async def test_what_is_forbidden_is_remembered_by_region(uow: UnitOfWork) -> None:
    assert await uow.sources.forbidden_until(REGION, "placement_scores") is None
    await uow.sources.forbid(REGION, "placement_scores", until=EPOCH)
    await uow.sources.forbid(REGION, "placement_scores", until=EPOCH + HOUR)
    assert await uow.sources.forbidden_until(REGION, "placement_scores") == EPOCH + HOUR
    assert await uow.sources.forbidden_until("eu-west-1", "placement_scores") is None


async def test_the_newest_score_of_a_family_and_zone_counts(uow: UnitOfWork) -> None:
    old = PlacementScore("m5", "use1-az1", 3, 64, EPOCH)
    new = PlacementScore("m5", "use1-az1", 9, 64, EPOCH + HOUR)
    other = PlacementScore("c5", "use1-az1", 1, 64, EPOCH)
    await uow.sources.put_placement_scores(REGION, [old, other])
    await uow.sources.put_placement_scores(REGION, [new])
    assert await uow.sources.placement_scores(REGION, since=EPOCH) == {
        ("m5", "use1-az1"): new,
        ("c5", "use1-az1"): other,
    }
    assert await uow.sources.placement_scores(REGION, since=EPOCH + HOUR) == {("m5", "use1-az1"): new}
    assert await uow.sources.placement_scores("eu-west-1", since=EPOCH) == {}


async def test_a_region_is_used_from_its_first_cluster_to_the_last_question(uow: UnitOfWork) -> None:
    assert await uow.regions.used() == []
    assert not await uow.regions.still_used("eu-west-2", at=EPOCH)
    assert await uow.regions.used() == [], "nobody has a cluster there"
    for hours in (2, 0, 1):
        await uow.regions.use("eu-west-1", at=EPOCH + hours * HOUR)
    await uow.regions.use(REGION, at=EPOCH)
    await uow.offerings.note_source("eu-west-1", "catalogue", as_of=EPOCH)
    await uow.offerings.note_source(REGION, "spot_advisor", as_of=EPOCH)
    first = UsedRegion("eu-west-1", EPOCH, EPOCH + 2 * HOUR, has_answered=True)
    assert await uow.regions.used() == [first, UsedRegion(REGION, EPOCH, EPOCH, has_answered=False)]
    assert await uow.regions.still_used("eu-west-1", at=EPOCH + HOUR)
    assert (await uow.regions.used())[0] == first, "an older question changes nothing"
    assert await uow.regions.still_used("eu-west-1", at=EPOCH + 3 * HOUR)
    assert (await uow.regions.used())[0].last_used_at == EPOCH + 3 * HOUR


async def test_an_instance_ends_once_and_is_forgotten_by_its_end(uow: UnitOfWork) -> None:
    never, long_ago = EPOCH - 10_000 * HOUR, EPOCH - 9_000 * HOUR
    for name in ("i-1", "i-2", "i-3"):
        await uow.risk.put_instance_pool(name, SPOT)
    await uow.instances.note_ends({"i-1": EPOCH, "i-2": EPOCH + HOUR, "i-unknown": EPOCH})
    await uow.instances.note_ends({"i-1": EPOCH + 9 * HOUR, "i-2": EPOCH})
    await uow.instances.note_ends({})
    assert await uow.instances.forget_instances(ended_before=EPOCH, seen_before=never, most=10) == 0
    soon = EPOCH + timedelta(seconds=1)
    assert await uow.instances.forget_instances(ended_before=soon, seen_before=never, most=1) == 1
    assert await uow.instances.forget_instances(ended_before=soon, seen_before=never, most=10) == 1
    assert set(await uow.risk.instance_pools(["i-1", "i-2", "i-3", "i-unknown"])) == {"i-3"}
    assert await uow.instances.forget_instances(ended_before=soon, seen_before=long_ago, most=10) == 0
