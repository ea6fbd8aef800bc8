"""Reading the sources: what is kept, what is told, and what a failure leaves behind."""

from collections import Counter
from decimal import Decimal

import pytest

from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import (
    NoPriceSourceError,
    SourceForbiddenError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.contracts.v1.pricing import (
    OfferingPricesChanged,
)
from shared.kernel.errors import SpotError
from shared.kernel.pools import CapacityType
from tests.builders import make_instance_type
from tests.unit.pricing.handlers.stage import HOUR, MINUTE, REGION, ZONES, Stage, spot

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_the_catalogue_brings_on_demand_prices_once(stage: Stage) -> None:
    assert await stage.read_catalogue() == 4
    [told] = stage.store.sent
    assert isinstance(told, OfferingPricesChanged)
    assert (told.scope, len(told.prices)) == (REGION, 4)
    assert {p.pool.capacity_type for p in told.prices} == {CapacityType.ON_DEMAND}
    await stage.clock.sleep(86400)
    assert await stage.read_catalogue() == 0
    assert len(stage.store.sent) == 1
    stage.price_list.prices["m5.xlarge"] = Decimal("0.2")
    assert await stage.read_catalogue() == 2, "one price, in two zones"


@pytest.mark.parametrize("usd", ["0", "-1", "NaN", "Infinity"])
async def test_a_price_nobody_believes_is_no_price(stage: Stage, usd: str) -> None:
    stage.price_list.prices = {"m5.xlarge": Decimal(usd)}
    with pytest.raises(NoPriceSourceError, match="no believable price of us-east-1 among 1 refused rows"):
        await stage.read_catalogue()
    assert (await stage.quotes()).quotes == ()
    assert stage.store.sources.refused.total() == 1
    assert [t.name for t in await stage.store.offerings.instance_types(REGION)] == ["c5.xlarge", "m5.xlarge"]


async def test_a_failing_source_leaves_everything_as_it_was(stage: Stage) -> None:
    await stage.read_catalogue()
    before = await stage.quotes()
    stage.catalogue.next_error = SourceUnavailableError()
    with pytest.raises(SourceUnavailableError):
        await stage.read_catalogue()
    stage.store.next_error = ZeroDivisionError()
    stage.price_list.prices["m5.xlarge"] = Decimal(9)
    with pytest.raises(ZeroDivisionError):
        await stage.read_on_demand()
    assert await stage.quotes() == before
    assert len(stage.store.sent) == 1


async def test_where_the_api_may_not_be_asked_the_file_is_and_where_neither_may_what_is_known_grows_old(
    stage: Stage,
) -> None:
    stage.price_list.next_error = SourceForbiddenError("no pricing:GetProducts")
    stage.bulk_file.next_error = SourceUnavailableError("no route")
    with pytest.raises(NoPriceSourceError, match=r"no pricing:GetProducts; no route.*prices upload"):
        await stage.read_catalogue()
    stage.price_list.next_error = SourceForbiddenError()
    stage.bulk_file.prices = {"m5.xlarge": Decimal("0.192")}
    assert await stage.read_on_demand() == 2
    await stage.clock.sleep(4 * 86400)
    stage.price_list.next_error, stage.bulk_file.next_error = SourceForbiddenError(), SourceUnavailableError()
    assert await stage.read_on_demand() == 0
    assert {q.usd_per_hour for q in (await stage.quotes()).quotes} == {Decimal("0.192") * Decimal("1.10")}


async def test_a_type_that_is_priced_no_longer_is_not_quoted_and_a_torn_answer_is_not_believed(
    stage: Stage,
) -> None:
    names = [f"m{number}.large" for number in range(4)]
    stage.catalogue.types = [make_instance_type(name) for name in names]
    stage.price_list.prices = dict.fromkeys(names, Decimal(1))
    await stage.read_catalogue()
    del stage.price_list.prices["m0.large"]
    await stage.read_on_demand()
    assert {q.pool.instance_type for q in (await stage.quotes()).quotes} == set(names[1:])
    before = await stage.quotes()
    stage.price_list.prices = {"m1.large": Decimal(9)}
    await stage.read_on_demand()
    assert await stage.quotes() == before


async def test_a_zone_that_is_offered_later_has_its_on_demand_price_at_once(stage: Stage) -> None:
    stage.catalogue.zones = {"us-east-1a": "use1-az1"}
    await stage.read_catalogue()
    stage.catalogue.zones = ZONES
    stage.price_list.next_error = stage.bulk_file.next_error = SourceUnavailableError()
    assert await stage.read_catalogue() == 2
    assert {q.pool.zone_id for q in (await stage.quotes()).quotes} == set(ZONES.values())


async def test_a_change_that_comes_late_makes_a_change_of_the_price_that_followed(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=3 * HOUR), stage.point("0.08", ago=HOUR)]
    await stage.read_prices()
    assert len(stage.spot_points()) == 1, "the second says what the first said"
    stage.spot.history.append(stage.point("0.05", ago=2 * HOUR))
    assert await stage.read_prices() == 0, "what is in force did not move"
    assert sorted((p.effective_at, p.usd_per_hour) for p in stage.spot_points()) == [
        (stage.clock.now() - 3 * HOUR, Decimal("0.08")),
        (stage.clock.now() - 2 * HOUR, Decimal("0.05")),
        (stage.clock.now() - 1 * HOUR, Decimal("0.08")),
    ]


async def test_a_cursor_older_than_ec2_answers_asks_for_what_there_is(stage: Stage) -> None:
    await stage.read_catalogue()
    await stage.read_prices()
    await stage.clock.sleep(100 * 86400)
    await stage.read_prices()
    assert stage.spot.asked[-1][0] == stage.clock.now() - 90 * 24 * HOUR


async def test_each_poll_begins_where_the_last_one_ended(stage: Stage) -> None:
    await stage.read_catalogue()
    began = stage.clock.now()
    stage.spot.history = [stage.point("0.07")]
    assert await stage.read_prices() == 1
    await stage.clock.sleep(300)
    assert await stage.read_prices() == 0
    assert stage.spot.asked == [
        (began - 48 * HOUR, began),
        (began - 10 * MINUTE, began + 5 * MINUTE),
    ]


async def test_before_the_zones_are_known_nothing_is_asked_and_the_cursor_stays(stage: Stage) -> None:
    assert await stage.read_prices() == 0
    assert stage.spot.asked == []
    assert await stage.store.offerings.source_as_of(REGION, "spot_price_history") is None


async def test_an_older_point_that_comes_late_is_history_not_the_price(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=HOUR)]
    await stage.read_prices()
    stage.spot.history = [stage.point("0.05", ago=2 * HOUR), stage.point("0.08", ago=HOUR)]
    assert await stage.read_prices() == 0
    [quote] = [q for q in (await stage.quotes()).quotes if q.pool == spot()]
    assert quote.usd_per_hour == Decimal("0.08")
    assert len(stage.spot_points()) == 2


async def test_an_unchanged_price_that_is_published_again_is_no_news(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=2 * HOUR)]
    await stage.read_prices()
    told = len(stage.store.sent)
    stage.spot.history.append(stage.point("0.08", ago=MINUTE))
    assert await stage.read_prices() == 0
    assert len(stage.store.sent) == told
    stage.spot.history.append(stage.point("0.09", ago=MINUTE / 2))
    assert await stage.read_prices() == 1


async def test_one_bad_row_spoils_no_good_one(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [
        stage.point("NaN"),
        stage.point("0"),
        stage.point("0.07", ago=-HOUR),
        stage.point("0.06", pool=spot("use1-az2")),
        stage.point("0.01", pool=spot("a zone we do not know")),
        stage.point("0.01", pool=spot(name="unheard.of")),
        stage.point("0.06", pool=spot("use1-az2")),
    ]
    assert await stage.read_prices() == 1
    assert Counter(row.reason for _, _, row in stage.store.sources.refused) == dict.fromkeys(
        [
            RefusalReason.NOT_A_NUMBER,
            RefusalReason.NOT_POSITIVE,
            RefusalReason.IN_FUTURE,
            RefusalReason.UNKNOWN_ZONE,
            RefusalReason.UNKNOWN_TYPE,
            RefusalReason.DUPLICATE,
        ],
        1,
    )
    quoted = {
        q.pool: q.usd_per_hour for q in (await stage.quotes()).quotes if q.interruption_probability is None
    }
    assert quoted[spot("use1-az2")] == Decimal("0.06")
    assert spot() not in quoted


async def test_a_poll_that_breaks_off_keeps_nothing_and_is_made_again(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point(f"0.0{n}", ago=n * HOUR) for n in range(1, 6)]
    stage.spot.fails_after_pages, stage.spot.error = 1, SourceThrottledError()
    with pytest.raises(SpotError):
        await stage.read_prices()
    assert stage.spot_points() == []
    stage.spot.fails_after_pages = None
    await stage.read_prices()
    assert stage.spot.asked[0][0] == stage.spot.asked[1][0], (
        "the window is the same: the cursor had not moved"
    )
    assert len(stage.spot_points()) == 5
