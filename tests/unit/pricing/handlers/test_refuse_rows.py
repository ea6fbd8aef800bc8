"""Every row that is not believed is kept with its reason and counted; the good ones beside it are stored."""

import json
from collections.abc import MutableMapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.pricing import metrics
from services.pricing.adapters.price_file import read_price_file
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import PLAIN_LINUX, Origin
from services.pricing.domain.refusals import RefusalReason, RefusedRow
from services.pricing.handlers import refuse_rows as handler
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refuse_rows import refuse_rows
from services.pricing.handlers.store_on_demand_prices import store_on_demand_prices
from shared.kernel.errors import UnavailableError
from shared.kernel.pools import CapacityType
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import InMemoryPricing
from tests.fakes.pricing_outside import FakeSpotPriceSource

pytestmark = pytest.mark.looptime

REGION = "us-east-1"
HOUR, MONTH = timedelta(hours=1), timedelta(days=30)


class Counted:
    """How much the metric of a source rose since it was made."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._before = self._now()

    def _now(self) -> dict[RefusalReason, int]:
        return {
            r: int(metrics.rows_refused.labels(self._source, r.value)._value.get()) for r in RefusalReason
        }

    def since(self) -> dict[RefusalReason, int]:
        rose = {reason: number - self._before[reason] for reason, number in self._now().items()}
        return {reason: number for reason, number in rose.items() if number}


@pytest.fixture
async def store() -> InMemoryPricing:
    store = InMemoryPricing()
    names = ("m5.xlarge", "c5.large", "r5.large")
    await store.offerings.replace_catalogue(
        REGION,
        zone_ids={"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"},
        instance_types=[make_instance_type(name) for name in names],
        offered=frozenset((name, "us-east-1a") for name in names),
    )
    return store


def quarantined(store: InMemoryPricing) -> dict[RefusalReason, int]:
    found: dict[RefusalReason, int] = {}
    for _, _, row in store.sources.refused:
        found[row.reason] = found.get(row.reason, 0) + 1
    return found


async def test_each_reason_is_counted_by_itself_and_a_broken_source_fills_no_table(
    store: InMemoryPricing,
) -> None:
    counted = Counted("test")
    many = handler.MOST_KEPT_OF_A_BATCH + 7
    rows = [RefusedRow.of(reason, "row") for reason in RefusalReason]
    rows += [RefusedRow.of(RefusalReason.MALFORMED, f"row {number}") for number in range(many)]
    async with store.unit_of_work() as uow:
        await refuse_rows(rows, region=REGION, source="test", uow=uow, now=EPOCH)
    assert counted.since() == {**dict.fromkeys(RefusalReason, 1), RefusalReason.MALFORMED: many + 1}
    assert store.sources.refused.total() == handler.MOST_KEPT_OF_A_BATCH


async def test_rows_that_were_not_stored_are_neither_counted_nor_told(store: InMemoryPricing) -> None:
    counted = Counted("test")
    rows = [RefusedRow.of(RefusalReason.MALFORMED, "row")]

    async def refuse() -> list[MutableMapping[str, Any]]:
        with structlog.testing.capture_logs() as logs:
            async with store.unit_of_work() as uow:
                await refuse_rows(rows, region=REGION, source="test", uow=uow, now=EPOCH)
                assert (counted.since(), logs) == ({}, [])
        return logs

    store.next_error = UnavailableError()
    with pytest.raises(UnavailableError):
        await refuse()
    (log,) = await refuse()
    assert (log["event"], log["reasons"]) == ("rows_refused", {"malformed": 1})
    assert counted.since() == {RefusalReason.MALFORMED: 1}


async def test_bad_spot_rows_are_counted_by_reason_and_the_good_one_is_in_force(
    store: InMemoryPricing,
) -> None:
    clock = FakeClock()
    now, good = clock.now(), make_pool(zone_id="use1-az2", capacity_type=CapacityType.SPOT)
    bad = make_pool(capacity_type=CapacityType.SPOT)
    history = [
        PricePoint(bad, Decimal("NaN"), now - HOUR),
        PricePoint(bad, Decimal("-0.01"), now - HOUR),
        PricePoint(bad, Decimal(0), now - HOUR),
        PricePoint(bad, Decimal("0.07"), now + HOUR),
        PricePoint(make_pool("unheard.of", capacity_type=CapacityType.SPOT), Decimal("0.01"), now - HOUR),
        PricePoint(make_pool(zone_id="use9-az9", capacity_type=CapacityType.SPOT), Decimal(1), now - HOUR),
        PricePoint(good, Decimal("0.06"), now - HOUR),
        PricePoint(good, Decimal("0.06"), now - HOUR),
        PricePoint(good, Decimal("0.05"), now - HOUR),
    ]
    counted = Counted("spot_price_history")
    moved = await refresh_prices(
        region=REGION,
        source=FakeSpotPriceSource(history),
        unit_of_work=store.unit_of_work,
        clock=clock,
        ids=CountedIds(),
        first_look_back=MONTH,
        overlap=HOUR,
        history_kept=MONTH,
        unconfirmed_kept=MONTH,
    )
    assert moved == 1
    assert {p.pool: p.usd_per_hour for p in (await store.offerings.known(REGION)).values()} == {
        good: Decimal("0.06")
    }
    expected = {
        RefusalReason.NOT_A_NUMBER: 1,
        RefusalReason.NOT_POSITIVE: 2,
        RefusalReason.IN_FUTURE: 1,
        RefusalReason.UNKNOWN_TYPE: 1,
        RefusalReason.UNKNOWN_ZONE: 1,
        RefusalReason.DUPLICATE: 1,
        RefusalReason.CONTRADICTED: 1,
    }
    assert counted.since() == expected
    assert quarantined(store) == expected


def product(name: str, prices: dict[str, str]) -> str:
    attributes = {"instanceType": name, "regionCode": REGION} | PLAIN_LINUX
    dimension = {"unit": "Hrs", "pricePerUnit": prices}
    return json.dumps(
        {
            "product": {"attributes": attributes},
            "terms": {"OnDemand": {"t": {"priceDimensions": {"d": dimension}}}},
        }
    )


async def test_yuan_unknown_types_and_a_second_document_are_counted_and_the_good_rows_of_the_file_kept(
    store: InMemoryPricing, tmp_path: Path
) -> None:
    items = [
        product("m5.xlarge", {"USD": "0.192"}),
        product("c5.large", {"CNY": "0.6"}),
        product("r5.large", {"USD": "-1"}),
        product("unheard.of", {"USD": "0.5"}),
    ]
    document = json.dumps({"FormatVersion": "aws_v1", "PriceList": items})
    path = tmp_path / "products.json"
    path.write_text(document + document)
    found = read_price_file(path, region=REGION, origin=Origin.UPLOAD)
    counted = Counted("price_list")
    async with store.unit_of_work() as uow:
        changed = await store_on_demand_prices(
            found, region=REGION, uow=uow, clock=FakeClock(), ids=CountedIds()
        )
    assert changed == 1
    assert await store.offerings.on_demand_prices(REGION) == {"m5.xlarge": Decimal("0.192")}
    expected = dict.fromkeys(
        (
            RefusalReason.OTHER_CURRENCY,
            RefusalReason.NOT_POSITIVE,
            RefusalReason.UNKNOWN_TYPE,
            RefusalReason.SECOND_DOCUMENT,
        ),
        1,
    )
    assert counted.since() == expected
    assert quarantined(store) == expected
