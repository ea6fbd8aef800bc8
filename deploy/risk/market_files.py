"""Spot price history and Spot Advisor's ratings, from files."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.risk.traces import RiskFileError
from services.pricing.adapters.spot_advisor import read_ratings
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.risk_model.baselines import Ratings
from services.pricing.errors import SourceUnavailableError

SUFFIXES = (".csv", ".csv.gz", ".json")
TIME_COLUMNS = ("timestamp", "time")
TYPE_COLUMNS = ("instancetype", "instance_type", "type")
ZONE_COLUMNS = ("availabilityzone", "availability_zone", "zone")
UNREADABLE = (
    *(OSError, EOFError, zlib.error, csv.Error),
    *(ValueError, KeyError, TypeError, IndexError, StopIteration),
)
"""What reading a file that is something else, or broken, ends with."""


@dataclass(frozen=True, slots=True)
class PriceCoverage:
    """What a folder of price files covers: which pools, from when to when."""

    files: int
    rows: int
    pools: frozenset[tuple[str, str]]
    """Instance type and zone."""
    first: datetime | None
    last: datetime | None


def read_ratings_of(paths: Sequence[Path]) -> Ratings:
    """Read Spot Advisor files in order; a later file's band wins, a type it dropped keeps its last one.

    Raises:
        RiskFileError: a file is not Spot Advisor's.
    """
    ratings: dict[str, dict[str, AdvisorBand]] = {}
    for path in paths:
        try:
            found = read_ratings(path.read_bytes())
        except (OSError, SourceUnavailableError) as error:
            raise RiskFileError(f"{path} is not Spot Advisor's file: {error}.") from error
        for region, bands in found.items():
            ratings.setdefault(region, {}).update(bands)
    return ratings


def read_price_coverage(folder: Path) -> PriceCoverage:
    """Read which pools and which time the price files of a folder cover.

    Raises:
        RiskFileError: there is none, or one is broken.
    """
    paths = sorted(p for p in folder.rglob("*") if p.name.endswith(SUFFIXES)) if folder.is_dir() else []
    if not paths:
        raise RiskFileError(f"{folder} holds no price file (.csv, .csv.gz or .json).")
    pools: set[tuple[str, str]] = set()
    first: datetime | None = None
    last: datetime | None = None
    rows = 0
    for path in paths:
        for instance_type, zone, at in _rows(path):
            rows += 1
            pools.add((instance_type, zone))
            first = at if first is None else min(first, at)
            last = at if last is None else max(last, at)
    return PriceCoverage(len(paths), rows, frozenset(pools), first, last)


def _rows(path: Path) -> Iterator[tuple[str, str, datetime]]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("utf-8-sig")
        if path.suffix == ".json":
            yield from _json_rows(text)
            return
        lines = csv.reader(io.StringIO(text))
        header = [name.strip().lower() for name in next(lines)]
        at = [_column(header, names) for names in (TYPE_COLUMNS, ZONE_COLUMNS, TIME_COLUMNS)]
        for row in lines:
            if row:
                yield row[at[0]], row[at[1]], _instant(row[at[2]])
    except UNREADABLE as error:
        raise RiskFileError(f"{path} is no spot price history: {error!r}.") from error


def _json_rows(text: str) -> Iterator[tuple[str, str, datetime]]:
    """Read AWS CLI output; some files are several documents run together."""
    decoder = json.JSONDecoder()
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        for row in document["SpotPriceHistory"]:
            yield row["InstanceType"], row["AvailabilityZone"], _instant(row["Timestamp"])


def _column(header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise ValueError(f"no column {names[0]}")


def _instant(text: str) -> datetime:
    """Read a timestamp; one without a zone is UTC, as AWS has it."""
    at = datetime.fromisoformat(text.strip())
    return at if at.tzinfo else at.replace(tzinfo=UTC)
