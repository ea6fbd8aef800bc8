"""On-demand prices of Linux instances, USD per hour, by instance type."""

import csv
import importlib.util
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from deploy.sandbox.market.errors import MarketDataError
from deploy.sandbox.market.recorded import read_text, usd

PRICE_COLUMNS = ("usd_per_hour", "ondemand_price")


def load(path: Path, *, region: str) -> Mapping[str, float]:
    """Read `region`'s prices from a CSV with region, instance_type and a price.

    With the columns os, allocation and currency only Linux, ONDEMAND and USD rows count. Without a currency
    column a Chinese region's rows are taken for CNY and left out.

    Raises:
        MarketDataError: the file cannot be read, a row is bad, or it holds nothing of the region.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    names = reader.fieldnames or ()
    column = next((name for name in PRICE_COLUMNS if name in names), None)
    if column is None or not {"region", "instance_type"} <= set(names):
        raise MarketDataError(f"{path}: the header must name region, instance_type and usd_per_hour")
    prices: dict[str, float] = {}
    currency_of_region = "CNY" if region.startswith("cn-") else "USD"
    for row in reader:
        if (
            row["region"] == region
            and row.get("currency", currency_of_region) == "USD"
            and row.get("os", "Linux") == "Linux"
            and row.get("allocation", "ONDEMAND") == "ONDEMAND"
        ):
            prices[row["instance_type"]] = usd(path, f"line {reader.line_num}", row[column])
    if not prices:
        raise MarketDataError(f"{path}: no on-demand price in USD for region {region}")
    return prices


def bundled(*, region: str) -> Mapping[str, float]:
    """Give the prices that the sparecores-data wheel ships.

    The package is located, not imported: importing it starts a thread that downloads a newer file.

    Raises:
        MarketDataError: the wheel is not installed, or does not know the region.
    """
    found = importlib.util.find_spec("sc_data")
    if found is None or not found.submodule_search_locations:
        raise MarketDataError("no on-demand prices: the package sparecores-data is not installed")
    path = Path(found.submodule_search_locations[0]) / "data" / "sc-data-all.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        rows = connection.execute(
            "select server_id, price from server_price where vendor_id = 'aws' and datacenter_id = ?"
            " and allocation = 'ONDEMAND' and operating_system = 'Linux' and currency = 'USD' and price > 0",
            (region,),
        ).fetchall()
    if not rows:
        raise MarketDataError(f"no on-demand prices: sparecores-data does not know region {region}")
    return {str(name): float(price) for name, price in rows}
