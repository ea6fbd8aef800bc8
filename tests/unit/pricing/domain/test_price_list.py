"""On-demand prices: which products count, and what is said of those that do not."""

from decimal import Decimal
from typing import Any

import pytest

from services.pricing.domain import price_list
from services.pricing.domain.price_list import Collection, PriceRow
from services.pricing.domain.refusals import RefusalReason

REGION = "us-east-1"


def product(prices: Any = None, *, unit: Any = "Hrs", **attributes: Any) -> dict[str, Any]:
    return {
        "product": {"attributes": {"instanceType": "m5.xlarge", "regionCode": REGION} | attributes},
        "terms": {
            "OnDemand": {
                "t": {
                    "priceDimensions": {
                        "d": {"unit": unit, "pricePerUnit": prices or {"USD": "0.1920000000"}}
                    }
                }
            }
        },
    }


def test_a_product_has_its_price_to_the_last_digit() -> None:
    found = Collection(REGION)
    price_list.add_product(found, product())
    assert found.usd_per_hour == {"m5.xlarge": Decimal("0.1920000000")}
    assert found.refused == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param({}, RefusalReason.MALFORMED, id="nothing"),
        pytest.param([], RefusalReason.MALFORMED, id="a list"),
        pytest.param(None, RefusalReason.MALFORMED, id="null"),
        pytest.param(product() | {"terms": {}}, RefusalReason.MALFORMED, id="no terms"),
        pytest.param(product() | {"terms": {"OnDemand": {}}}, RefusalReason.MALFORMED, id="no price"),
        pytest.param(product() | {"terms": {"OnDemand": {"t": 1}}}, RefusalReason.MALFORMED, id="no term"),
        pytest.param(product(instanceType=None), RefusalReason.MALFORMED, id="no type"),
        pytest.param(product({"USD": "0.0000000000"}), RefusalReason.NOT_POSITIVE, id="free"),
        pytest.param(product({"USD": "-1"}), RefusalReason.NOT_POSITIVE, id="negative"),
        pytest.param(product({"USD": "NaN"}), RefusalReason.NOT_A_NUMBER, id="NaN"),
        pytest.param(product({"USD": "Infinity"}), RefusalReason.NOT_A_NUMBER, id="infinite"),
        pytest.param(product({"USD": "cheap"}), RefusalReason.NOT_A_NUMBER, id="text"),
        pytest.param(product({"USD": None}), RefusalReason.NOT_A_NUMBER, id="null price"),
        pytest.param(product({"USD": "10000.01"}), RefusalReason.TOO_HIGH, id="absurd"),
        pytest.param(product({"CNY": "1.2"}), RefusalReason.OTHER_CURRENCY, id="CNY"),
        pytest.param(product("USD"), RefusalReason.MALFORMED, id="prices that are text"),
        pytest.param(product(unit="Quantity"), RefusalReason.OTHER_UNIT, id="another unit"),
        pytest.param(product(regionCode="cn-north-1"), RefusalReason.OTHER_REGION, id="another region"),
    ],
)
def test_a_bad_product_is_refused_with_its_reason_and_spoils_no_other(
    broken: Any, reason: RefusalReason
) -> None:
    found = Collection(REGION)
    price_list.add_product(found, product(instanceType="c5.large"))
    price_list.add_product(found, broken)
    price_list.add_product(found, product(instanceType="r5.large"))
    assert found.usd_per_hour.keys() == {"c5.large", "r5.large"}
    assert [row.reason for row in found.refused] == [reason]


def test_of_two_prices_the_dearer_is_kept_whatever_their_order() -> None:
    rows = [PriceRow("m5.large", REGION, "Hrs", "USD", price) for price in ("0.1", "0.2", "0.2")]
    for order in (rows, rows[::-1]):
        found = Collection(REGION)
        for row in order:
            found.add(row)
        assert found.usd_per_hour == {"m5.large": Decimal("0.2")}
        assert {row.reason for row in found.refused} == {RefusalReason.DUPLICATE, RefusalReason.CONTRADICTED}


def test_only_the_plain_linux_instance_counts() -> None:
    assert price_list.is_plain(price_list.PLAIN_LINUX)
    for name in price_list.PLAIN_LINUX:
        assert not price_list.is_plain({**price_list.PLAIN_LINUX, name: "other"})
        assert not price_list.is_plain({k: v for k, v in price_list.PLAIN_LINUX.items() if k != name})
