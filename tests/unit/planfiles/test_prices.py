"""Price files: AWS CLI's output and CSV in the headers people use."""

import json
from pathlib import Path

import pytest

from deploy.planfiles.documents import PlanFileError
from deploy.planfiles.prices import on_demand_prices, spot_prices


def write(folder: Path, content: object) -> Path:
    path = folder / "prices"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def product(instance_type: str, usd: str, **attributes: str) -> str:
    plain = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return json.dumps(
        {
            "product": {
                "attributes": {
                    "instanceType": instance_type,
                    "regionCode": "us-east-1",
                    **plain,
                    **attributes,
                }
            },
            "terms": {
                "OnDemand": {"t": {"priceDimensions": {"d": {"unit": "Hrs", "pricePerUnit": {"USD": usd}}}}}
            },
        }
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            "region,instance_type,usd_per_hour\nus-east-1,m5.large,0.096\neu-west-1,m5.large,0.1\n", id="ours"
        ),
        pytest.param("region,instance_type,ondemand_price\nus-east-1,m5.large,0.096\n", id="karpenter's"),
        pytest.param(
            "region,instance_type,os,allocation,usd_per_hour,currency\n"
            "us-east-1,m5.large,Linux,ONDEMAND,0.096,USD\nus-east-1,c5.large,Linux,ONDEMAND,9,CNY\n",
            id="with currency",
        ),
        pytest.param(
            {
                "PriceList": [
                    product("m5.large", "0.096"),
                    product("m5.large", "0.2", operatingSystem="Windows"),
                    product("c5.large", "0.0000000"),
                ]
            },
            id="get-products",
        ),
    ],
)
def test_on_demand_prices_of_one_region(tmp_path: Path, content: object) -> None:
    assert on_demand_prices(write(tmp_path, content), "us-east-1") == {"m5.large": 0.096}


@pytest.mark.parametrize("price", ["-1", "NaN", "inf", "0", "abc"])
def test_a_price_that_is_none_is_refused_with_its_line(tmp_path: Path, price: str) -> None:
    good = "region,instance_type,usd_per_hour\nus-east-1,m5.large,0.096\n"
    path = write(tmp_path, f"{good}us-east-1,c5.large,{price}\n")
    with pytest.raises(PlanFileError, match=r"prices, line 3: the price"):
        on_demand_prices(path, "us-east-1")


def test_the_newest_linux_price_of_each_zone_counts(tmp_path: Path) -> None:
    rows = [
        ("us-east-1a", "Linux/UNIX", "0.05", "2021-05-30T18:00:00+00:00"),
        ("us-east-1a", "Linux/UNIX", "0.04", "2021-05-30T17:00:00+00:00"),
        ("us-east-1a", "Windows", "0.09", "2021-05-30T19:00:00+00:00"),
        ("us-east-1b", "Linux/UNIX", "0.06", "2021-05-30T17:00:00+00:00"),
    ]
    history = [
        {
            "AvailabilityZone": zone,
            "InstanceType": "m5.large",
            "ProductDescription": system,
            "SpotPrice": price,
            "Timestamp": at,
        }
        for zone, system, price, at in rows
    ]
    csv = "Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice\n" + "".join(
        f"{at},{zone},m5.large,{system},{price}\n" for zone, system, price, at in rows
    )
    for content in ({"SpotPriceHistory": history}, csv):
        found = spot_prices(write(tmp_path, content), "us-east-1")
        assert [(p.zone, p.usd_per_hour) for p in found] == [("us-east-1a", 0.05), ("us-east-1b", 0.06)]


def test_a_region_without_prices_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "region,instance_type,usd_per_hour\nus-east-1,m5.large,0.096\n")
    with pytest.raises(PlanFileError, match="no on-demand price for region eu-west-1"):
        on_demand_prices(path, "eu-west-1")
