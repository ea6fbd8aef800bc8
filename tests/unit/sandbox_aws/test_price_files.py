"""Which price files are refused, and with which sentence."""

import gzip
import json
from pathlib import Path

import pytest

from deploy.sandbox.market import on_demand, recorded
from deploy.sandbox.market.errors import MarketDataError

HEADER = "Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice\n"


def row(price: str = "0.03", zone: str = "us-east-1a", product: str = "Linux/UNIX") -> str:
    return f"2021-03-01T00:00:00+00:00,{zone},m5.large,{product},{price}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(HEADER + row("-1"), "line 2: the price '-1' is not a positive number", id="negative"),
        pytest.param(HEADER + row("NaN"), "line 2: the price 'NaN' is not a positive number", id="NaN"),
        pytest.param(HEADER + row() + row("unknown"), "line 3: the price 'unknown'", id="no number"),
        pytest.param(HEADER + row(zone="sa-east-1a"), "its zones are sa-east-1a", id="other region"),
        pytest.param(HEADER, "it is empty", id="empty"),
        pytest.param("a,b\n1,2\n", "no column Timestamp", id="other columns"),
        pytest.param("{ broken", "not the output of `aws ec2", id="broken JSON"),
        pytest.param(HEADER + "yesterday,us-east-1a,m5.large,Linux/UNIX,1\n", "line 2", id="bad time"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(MarketDataError) as refused:
        recorded.load(path, region="us-east-1")
    assert reason in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="No such file"):
        recorded.load(tmp_path / "none.csv", region="us-east-1")


def test_several_json_documents_run_together_are_one_history(tmp_path: Path) -> None:
    def document(price: str, hour: int, product: str = "Linux/UNIX") -> str:
        point = {
            "AvailabilityZone": "us-east-1d",
            "InstanceType": "t1.micro",
            "ProductDescription": product,
            "SpotPrice": price,
            "Timestamp": f"2021-05-31T{hour:02}:00:00+00:00",
        }
        return json.dumps({"SpotPriceHistory": [point]})

    path = tmp_path / "t1.micro.json"
    path.write_text(document("0.002", 2) + "\n" + document("0.003", 1) + document("9", 3, "Windows"))
    history = recorded.load(path, region="us-east-1")
    assert len(history) == 2
    assert history.price_at(("t1.micro", "us-east-1d"), history.last_time) == 0.002


def test_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress((HEADER + row()).encode()))
    assert len(recorded.load(path, region="us-east-1")) == 1


def test_only_linux_usd_rows_of_the_region_are_on_demand_prices(tmp_path: Path) -> None:
    path = tmp_path / "on-demand.csv"
    path.write_text(
        "region,instance_type,os,allocation,usd_per_hour,currency,inserted_at\n"
        "us-east-1,m5.large,Linux,ONDEMAND,0.096,USD,x\n"
        "us-east-1,m5.xlarge,Windows,ONDEMAND,0.4,USD,x\n"
        "us-east-1,m5.2xlarge,Linux,SPOT,0.1,USD,x\n"
        "cn-north-1,m5.large,Linux,ONDEMAND,0.7,CNY,x\n"
    )
    assert on_demand.load(path, region="us-east-1") == {"m5.large": 0.096}
    with pytest.raises(MarketDataError, match="no on-demand price in USD"):
        on_demand.load(path, region="cn-north-1")


def test_chinese_prices_without_a_currency_are_not_taken_for_dollars(tmp_path: Path) -> None:
    path = tmp_path / "on-demand.csv"
    path.write_text("region,instance_type,ondemand_price\ncn-north-1,c3.2xlarge,4.217\n")
    with pytest.raises(MarketDataError, match="no on-demand price in USD"):
        on_demand.load(path, region="cn-north-1")


def test_bundled_prices_know_the_common_types() -> None:
    prices = on_demand.bundled(region="us-east-1")
    assert prices["m5.large"] == 0.096
    with pytest.raises(MarketDataError, match="does not know region"):
        on_demand.bundled(region="moon-1")
