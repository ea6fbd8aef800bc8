"""Pricing's repositories in memory and in Postgres keep the same promises."""

from datetime import timedelta
from decimal import Decimal

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.notices import Notice
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import Origin
from services.pricing.ports import PricedPools, SourceState, UnitOfWork
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import EPOCH

HOUR = timedelta(hours=1)
SPOT = make_pool(capacity_type=CapacityType.SPOT)
ZONES = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
M5, C5 = make_instance_type("m5.xlarge"), make_instance_type("c5.xlarge", gib=8)


def point(usd: str = "0.1", *, hours: float = 0, pool: PoolKey = SPOT) -> PricePoint:
    return PricePoint(pool, Decimal(usd), EPOCH + hours * HOUR)


async def offer(uow: UnitOfWork, *, region: str = "us-east-1") -> None:
    """Offer m5 in both zones, c5 in the first."""
    await uow.offerings.replace_catalogue(
        region,
        zone_ids=ZONES,
        instance_types=[M5, C5],
        offered=frozenset(
            {("m5.xlarge", "us-east-1a"), ("m5.xlarge", "us-east-1b"), ("c5.xlarge", "us-east-1a")}
        ),
    )


async def test_adding_a_known_point_again_adds_nothing(uow: UnitOfWork) -> None:
    assert await uow.offerings.add_points([]) == 0
    assert await uow.offerings.add_points([point(), point("0.2", hours=1)]) == 2
    assert await uow.offerings.add_points([point(), point("0.3", hours=2), point("0.3", hours=2)]) == 1


async def test_only_a_newer_price_comes_into_force(uow: UnitOfWork) -> None:
    await uow.offerings.put_in_force([point("0.2", hours=2)])
    await uow.offerings.put_in_force([point("0.1", hours=1), point("0.3", pool=make_pool())])
    assert await uow.offerings.known("us-east-1") == {
        SPOT: point("0.2", hours=2),
        make_pool(): point("0.3", pool=make_pool()),
    }
    await uow.offerings.put_in_force([point("0.4", hours=2)])
    await uow.offerings.put_in_force([point("0.1", hours=3)])
    assert (await uow.offerings.known("us-east-1"))[SPOT] == point("0.1", hours=3)
    assert await uow.offerings.known("eu-west-1") == {}


async def test_prices_keep_every_digit(uow: UnitOfWork) -> None:
    exact = point("0.123456789012345678")
    await uow.offerings.put_in_force([exact])
    assert (await uow.offerings.known("us-east-1"))[SPOT].usd_per_hour == exact.usd_per_hour


async def test_a_catalogue_replaces_the_one_before(uow: UnitOfWork) -> None:
    assert await uow.offerings.zone_ids("us-east-1") == {}
    await offer(uow)
    await offer(uow, region="eu-west-1")
    assert await uow.offerings.zone_ids("us-east-1") == ZONES
    assert await uow.offerings.instance_types("us-east-1") == [C5, M5]
    assert await uow.offerings.offered_zone_ids("us-east-1") == {
        "m5.xlarge": frozenset({"use1-az1", "use1-az2"}),
        "c5.xlarge": frozenset({"use1-az1"}),
    }
    await uow.offerings.replace_catalogue(
        "us-east-1",
        zone_ids={"us-east-1c": "use1-az4"},
        instance_types=[M5],
        offered=frozenset({("m5.xlarge", "us-east-1c"), ("m5.xlarge", "a local zone")}),
    )
    assert await uow.offerings.zone_ids("us-east-1") == {"us-east-1c": "use1-az4"}
    assert await uow.offerings.offered_zone_ids("us-east-1") == {"m5.xlarge": frozenset({"use1-az4"})}
    assert await uow.offerings.instance_types("us-east-1") == [M5]
    assert await uow.offerings.zone_ids("eu-west-1") == ZONES


async def test_an_offering_is_a_pool_that_is_offered_priced_and_of_a_source_that_answered(
    uow: UnitOfWork,
) -> None:
    await offer(uow)
    not_offered = make_pool("c5.xlarge", zone_id="use1-az2", capacity_type=CapacityType.SPOT)
    await uow.offerings.put_in_force([point(), point(pool=not_offered), point("0.3", pool=make_pool())])
    nothing = PricedPools([], [], [], [])
    assert await uow.offerings.priced_pools("us-east-1") == nothing
    await uow.offerings.note_source("us-east-1", "spot_price_history", as_of=EPOCH + HOUR)
    spot, on_demand = CapacityType.SPOT, CapacityType.ON_DEMAND
    assert await uow.offerings.priced_pools("us-east-1") == PricedPools(
        ["m5.xlarge"], ["use1-az1"], [spot], [point().usd_per_hour]
    )
    await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH)
    assert await uow.offerings.priced_pools("us-east-1") == PricedPools(
        ["m5.xlarge"] * 2, ["use1-az1"] * 2, [on_demand, spot], [Decimal("0.3"), point().usd_per_hour]
    )
    assert await uow.offerings.priced_pools("eu-west-1") == nothing


async def test_a_source_never_grows_younger(uow: UnitOfWork) -> None:
    assert await uow.offerings.source_as_of("us-east-1", "price_list") is None
    for hours in (2, 1):
        await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH + hours * HOUR)
    assert await uow.offerings.source_as_of("us-east-1", "price_list") == EPOCH + 2 * HOUR


async def test_a_source_says_how_its_answer_reached_us(uow: UnitOfWork) -> None:
    assert await uow.offerings.source_states("us-east-1") == {}
    await uow.offerings.note_source("us-east-1", "spot_price_history", as_of=EPOCH)
    await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH)
    await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH + HOUR, origin=Origin.UPLOAD)
    await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH, origin=Origin.BULK_FILE)
    assert await uow.offerings.source_states("us-east-1") == {
        "spot_price_history": SourceState(EPOCH, Origin.API),
        "price_list": SourceState(EPOCH + HOUR, Origin.UPLOAD),
    }


async def test_ratings_replace_a_regions_own(uow: UnitOfWork) -> None:
    await uow.risk.put_ratings("us-east-1", {"m5.large": AdvisorBand(0), "c5.large": AdvisorBand(4)})
    await uow.risk.put_ratings("eu-west-1", {"m5.large": AdvisorBand(1)})
    await uow.risk.put_ratings("us-east-1", {"m5.large": AdvisorBand(2)})
    assert await uow.risk.ratings("us-east-1") == {"m5.large": AdvisorBand(2)}
    assert await uow.risk.ratings("eu-west-1") == {"m5.large": AdvisorBand(1)}
    assert await uow.risk.ratings("ap-south-1") == {}


async def test_a_flag_is_prolonged_never_shortened(uow: UnitOfWork) -> None:
    assert await uow.risk.flags([SPOT]) == {}
    late = PoolFlag(SPOT, "interruption", EPOCH + HOUR, EPOCH + 2 * HOUR)
    early = PoolFlag(SPOT, "other", EPOCH, EPOCH + HOUR)
    other = PoolFlag(make_pool(), "other", EPOCH, EPOCH + HOUR)
    await uow.risk.put_flags([late, other])
    await uow.risk.put_flags([early])
    assert await uow.risk.flags([SPOT]) == {SPOT: late}
    assert await uow.risk.flags([SPOT, other.pool, make_pool("c5.large")]) == {SPOT: late, other.pool: other}
    assert await uow.risk.live_flags("us-east-1", now=EPOCH + HOUR) == {SPOT: late}
    assert await uow.risk.live_flags("us-east-1", now=EPOCH + 2 * HOUR) == {}
    assert await uow.risk.live_flags("eu-west-1", now=EPOCH) == {}


async def test_an_instance_stays_in_its_pool(uow: UnitOfWork) -> None:
    assert await uow.risk.instance_pools(["i-1"]) == {}
    await uow.risk.put_instance_pool("i-1", SPOT)
    await uow.risk.put_instance_pool("i-1", make_pool())
    assert await uow.risk.instance_pools({"i-1", "i-2"}) == {"i-1": SPOT}


async def test_an_event_is_kept_once(uow: UnitOfWork) -> None:
    one, two = (
        Notice(f"e-1:{name}", name, "123456789012", "us-east-1", InterruptionKind.SPOT_INTERRUPTION, EPOCH)
        for name in ("i-1", "i-2")
    )
    assert await uow.risk.add_notices([one, one]) == {"e-1:i-1"}
    assert await uow.risk.add_notices([two, one]) == {"e-1:i-2"}
    assert await uow.risk.add_notices([one, two]) == frozenset()


async def test_a_pool_that_is_named_no_more_is_known_as_such_until_it_is_back_or_gone(
    uow: UnitOfWork,
) -> None:
    one, two = (make_pool(zone_id=f"use1-az{n}", capacity_type=CapacityType.SPOT) for n in (1, 2))
    unpriced = make_pool(zone_id="use1-az3", capacity_type=CapacityType.SPOT)
    await uow.offerings.put_in_force([PricePoint(pool, Decimal("0.1"), EPOCH) for pool in (one, two)])
    assert await uow.offerings.unconfirmed("us-east-1") == {}
    await uow.offerings.mark_unconfirmed([one, two, unpriced], named_at=EPOCH)
    assert await uow.offerings.unconfirmed("us-east-1") == {one: EPOCH, two: EPOCH}
    assert await uow.offerings.unconfirmed("eu-west-1") == {}
    await uow.offerings.confirm([one])
    await uow.offerings.confirm([])
    assert await uow.offerings.unconfirmed("us-east-1") == {two: EPOCH}
    await uow.offerings.forget_pools([two])
    assert await uow.offerings.unconfirmed("us-east-1") == {}
    assert set(await uow.offerings.known("us-east-1")) == {one}
