"""Recorded spot prices, as CSV or as AWS CLI output.

A file is refused as a whole at its first bad row: a market that silently lost rows would judge the product
by prices that never were.
"""

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.sandbox.market.errors import MarketDataError
from deploy.sandbox.market.history import Event, Pool, PriceHistory

LINUX = frozenset({"Linux/UNIX", "Linux/UNIX (Amazon VPC)"})

COLUMNS = ("Timestamp", "AvailabilityZone", "InstanceType", "SpotPrice")
"""ProductDescription may be missing: such a file holds Linux/UNIX only."""

GZIP_MAGIC = b"\x1f\x8b"


def load(path: Path, *, region: str) -> PriceHistory:
    """Read the Linux/UNIX prices of `region`'s zones from a CSV or AWS CLI JSON file, gzipped or not.

    Raises:
        MarketDataError: the file cannot be read, a row is bad, or it holds nothing of the region.
    """
    text = read_text(path)
    rows = _json_rows(path, text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(path, text)
    events: dict[Pool, list[Event]] = defaultdict(list)
    other_zones: set[str] = set()
    for where, row in rows:
        pool, event = _read(path, where, row)
        if row.get("ProductDescription", "Linux/UNIX") not in LINUX:
            continue
        zone = pool[1]
        if zone[:-1] == region:
            events[pool].append(event)
        else:
            other_zones.add(zone)
    if not events:
        found = f"its zones are {', '.join(sorted(other_zones))}" if other_zones else "it is empty"
        raise MarketDataError(f"{path}: no Linux/UNIX spot price in region {region}; {found}")
    return PriceHistory.from_events(events)


def read_text(path: Path) -> str:
    """Read a file that may be gzipped.

    Raises:
        MarketDataError: it is missing, unreadable or not text.
    """
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise MarketDataError(f"{path}: {error.strerror or error}") from error
    except (EOFError, UnicodeDecodeError) as error:
        raise MarketDataError(f"{path}: not a text or gzip file: {error}") from error


def usd(path: Path, where: str, text: object) -> float:
    """Read a price.

    Raises:
        MarketDataError: it is no positive finite number.
    """
    try:
        price = float(str(text))
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or price <= 0:
        raise MarketDataError(f"{path}: {where}: the price {text!r} is not a positive number")
    return price


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise MarketDataError(f"{path}: the header has no column {', '.join(missing)}")
    for row in reader:
        yield f"line {reader.line_num}", row


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read one or several documents run together, as `aws` leaves them when appended to one file."""
    decoder = json.JSONDecoder()
    position, number = 0, 0
    while text[position:].strip():
        position += len(text[position:]) - len(text[position:].lstrip())
        try:
            document, position = decoder.raw_decode(text, position)
            rows = document["SpotPriceHistory"] if isinstance(document, dict) else document
            for row in rows:
                number += 1
                if not isinstance(row, dict):
                    raise MarketDataError(f"{path}: price {number} is not an object")
                yield f"price {number}", row
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise MarketDataError(
                f"{path}: not the output of `aws ec2 describe-spot-price-history`: {error}"
            ) from error


def _read(path: Path, where: str, row: Mapping[str, Any]) -> tuple[Pool, Event]:
    try:
        instance_type, zone = str(row["InstanceType"]), str(row["AvailabilityZone"])
        at = datetime.fromisoformat(str(row["Timestamp"]))
    except (KeyError, ValueError) as error:
        raise MarketDataError(f"{path}: {where}: {error}") from error
    if "." not in instance_type or len(zone) < 2:
        raise MarketDataError(f"{path}: {where}: no instance type and zone in {instance_type!r}, {zone!r}")
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (instance_type, zone), (at.timestamp(), usd(path, where, row.get("SpotPrice")))
