"""On-demand and spot prices, from AWS CLI output or CSV.

A file that is given is the whole market. Every price in it must be a number above zero: a NaN or a -1 would win every
comparison or lose it silently, so it is refused with the line it stands in.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.planfiles import remembered
from deploy.planfiles.documents import PlanFileError, csv_rows, json_documents, looks_like_json, text_of

TYPE_COLUMNS = ("instance_type", "instancetype", "type")
PRICE_COLUMNS = ("usd_per_hour", "ondemand_price", "on_demand_price", "spotprice", "spot_price", "price")
ZONE_COLUMNS = ("zone", "availabilityzone", "availability_zone", "availabilityzoneid", "zone_id")
TIME_COLUMNS = ("timestamp", "time")
PRODUCT_COLUMNS = ("productdescription", "product_description", "os")
LINUX = frozenset({"linux/unix", "linux/unix (amazon vpc)", "linux"})
ONLY = {"os": LINUX, "currency": frozenset({"usd"}), "allocation": frozenset({"ondemand", "on-demand"})}
"""Columns of on-demand lists, and the values that count."""
PLAIN_PRODUCT = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


@dataclass(frozen=True, slots=True)
class SpotPrice:
    """The newest price of one type in one zone."""

    instance_type: str
    zone: str
    """As the file has it: a zone's name or id."""
    usd_per_hour: float
    at: str


def on_demand_prices(path: Path, region: str) -> dict[str, float]:
    """Give USD per hour by instance type in one region.

    Raises:
        PlanFileError: the file is broken, or prices nothing in the region.
    """
    text = text_of(path)
    found: dict[str, float] = {}
    if looks_like_json(text):
        found = {name: usd for there, name, usd in _products(path, text) if there == region}
    else:
        header, rows = csv_rows(path, text)
        name_at, price_at = _needed(path, header, TYPE_COLUMNS), _needed(path, header, PRICE_COLUMNS)
        others = [(_at(header, (column,)), wanted) for column, wanted in ONLY.items()]
        region_at = _at(header, ("region",))
        for line, row in rows:
            if any(at is not None and row[at].strip().lower() not in wanted for at, wanted in others):
                continue
            where = f"{path}, line {line}"
            price = _price(where, row[price_at])
            if region_at is None or row[region_at].strip() == region:
                found[_text(where, row[name_at], "instance type")] = price
    if not found:
        raise PlanFileError(f"{path} has no on-demand price for region {region}.")
    return found


def spot_prices(path: Path, region: str) -> list[SpotPrice]:
    """Give the newest price of each type and zone of one region, in order.

    Raises:
        PlanFileError: the file is broken, or prices nothing in the region.
    """
    kept = remembered.rows(path, f"spot {region}", lambda: list(map(_as_row, _newest_spot(path, region))))
    return [SpotPrice(*row) for row in kept]


def _as_row(price: SpotPrice) -> list[Any]:
    return [price.instance_type, price.zone, price.usd_per_hour, price.at]


def _newest_spot(path: Path, region: str) -> list[SpotPrice]:
    text = text_of(path)
    rows = _spot_json(path, text) if looks_like_json(text) else _spot_csv(path, text, region)
    newest: dict[tuple[str, str], SpotPrice] = {}
    for row in rows:
        key = (row.instance_type, row.zone)
        known = newest.get(key)
        if known is None or row.at >= known.at:
            newest[key] = row
    if not newest:
        raise PlanFileError(f"{path} has no spot price for Linux in region {region}.")
    return [newest[key] for key in sorted(newest)]


def _spot_csv(path: Path, text: str, region: str) -> Iterator[SpotPrice]:
    # A year of price changes has millions of rows: columns are looked up once, not in each.
    header, rows = csv_rows(path, text)
    name_at, price_at = _needed(path, header, TYPE_COLUMNS), _needed(path, header, PRICE_COLUMNS)
    zone_at = _needed(path, header, ZONE_COLUMNS)
    time_at, product_at = _at(header, TIME_COLUMNS), _at(header, PRODUCT_COLUMNS)
    region_at = _at(header, ("region",))
    for line, row in rows:
        if product_at is not None and row[product_at].strip().lower() not in LINUX:
            continue
        where = f"{path}, line {line}"
        price = _price(where, row[price_at])
        at = _instant(where, row[time_at]) if time_at is not None else ""
        if region_at is None or row[region_at].strip() == region:
            name = _text(where, row[name_at], "instance type")
            yield SpotPrice(name, _text(where, row[zone_at], "zone"), price, at)


def _spot_json(path: Path, text: str) -> Iterator[SpotPrice]:
    for document in json_documents(path, text):
        items = document.get("SpotPriceHistory") if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise PlanFileError(f"{path}: there is no SpotPriceHistory in it.")
        for number, item in enumerate(items, start=1):
            where = f"{path}, item {number} of SpotPriceHistory"
            if not isinstance(item, dict) or "SpotPrice" not in item:
                raise PlanFileError(f"{where}: there is no SpotPrice in it.")
            if str(item.get("ProductDescription", "Linux/UNIX")).lower() not in LINUX:
                continue
            zone = item.get("AvailabilityZone") or item.get("AvailabilityZoneId")
            if not item.get("InstanceType") or not zone:
                raise PlanFileError(f"{where}: InstanceType or AvailabilityZone is missing.")
            at = _instant(where, str(item.get("Timestamp", "")))
            yield SpotPrice(str(item["InstanceType"]), str(zone), _price(where, item["SpotPrice"]), at)


def _products(path: Path, text: str) -> Iterator[tuple[str, str, float]]:
    for document in json_documents(path, text):
        items = document.get("PriceList") if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise PlanFileError(f"{path}: there is no PriceList in it.")
        for number, item in enumerate(items, start=1):
            where = f"{path}, item {number} of PriceList"
            try:
                product = json.loads(item) if isinstance(item, str) else item
                attributes = product["product"]["attributes"]
                terms = product.get("terms", {}).get("OnDemand", {})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise PlanFileError(f"{where}: this is not a product of the price list.") from error
            if any(attributes.get(k, v) != v for k, v in PLAIN_PRODUCT.items()):
                continue
            price = _hourly(where, terms)
            if price is not None and attributes.get("instanceType"):
                yield str(attributes.get("regionCode", "")), str(attributes["instanceType"]), price


def _hourly(where: str, terms: Mapping[str, Any]) -> float | None:
    for term in terms.values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = dimension.get("pricePerUnit", {}).get("USD")
            if dimension.get("unit") in ("Hrs", "Hours") and usd is not None and float(usd) != 0:
                return _price(where, usd)
    return None


def _at(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _needed(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    at = _at(header, names)
    if at is None:
        raise PlanFileError(f"{path}: the header names no column {names[0]}.")
    return at


def _text(where: str, written: str, what: str) -> str:
    if not written.strip():
        raise PlanFileError(f"{where}: there is no {what}.")
    return written.strip()


def _price(where: str, written: object) -> float:
    try:
        price = float(str(written))
    except ValueError as error:
        raise PlanFileError(f"{where}: the price {written!r} is not a number.") from error
    if not math.isfinite(price) or price <= 0:
        raise PlanFileError(f"{where}: the price {written} is not a number above zero.")
    return price


def _instant(where: str, written: str) -> str:
    if not written:
        return ""
    try:
        return datetime.fromisoformat(written).isoformat()
    except ValueError as error:
        raise PlanFileError(f"{where}: the time {written!r} is not ISO 8601.") from error
