"""AmazonEC2's offer file of one region, as JSON or CSV, and saved answers of GetProducts: read as a stream.

The file has several hundred MB, of which a thousand rows are wanted: nothing but those is ever held. JSON is
read with ijson, event by event; CSV row by row. A file that ends too early, or is none of these, is refused as a
whole; a bad row is refused alone.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import ijson

from services.pricing.domain import price_list
from services.pricing.domain.price_list import Collection, OnDemandPrices, Origin, PriceRow
from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import PriceFileError

SERVICE = "AmazonEC2"
GZIP_MAGIC = b"\x1f\x8b"
BUFFER_BYTES = 1024**2
NOT_WANTED = "terms.Reserved"
"""Three quarters of the file."""
LONGEST_HEADING = 16
"""Lines of a CSV before its header: there are five."""

CSV_ATTRIBUTES = {
    "Operating System": "operatingSystem",
    "Tenancy": "tenancy",
    "Pre Installed S/W": "preInstalledSw",
    "CapacityStatus": "capacitystatus",
    "License Model": "licenseModel",
}
CSV_COLUMNS = (
    *CSV_ATTRIBUTES,
    "TermType",
    "Unit",
    "PricePerUnit",
    "Currency",
    "Instance Type",
    "Region Code",
)
WANTED_ATTRIBUTES = frozenset({*price_list.PLAIN_LINUX, "instanceType", "regionCode"})


def read_price_file(path: Path, *, region: str, origin: Origin) -> OnDemandPrices:
    """Read a file's on-demand prices of one region; it may be gzipped.

    Raises:
        PriceFileError: it cannot be read, is something else, of another service or region, or is cut off.
    """
    found = Collection(region)
    try:
        with _opened(path) as file:
            first = file.peek(64).lstrip()[:1]
            read = _read_json if first in (b"{", b"[") else _read_csv
            published_at = read(path, file, found)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PriceFileError(f"{path.name}: not a readable price file: {why}") from error
    if not found.usd_per_hour:
        raise PriceFileError(
            f"{path.name}: no on-demand price in USD of a Linux instance in region {region}"
            + (
                f"; {len(found.refused)} rows were refused, first: {found.refused[0].row}"
                if found.refused
                else ""
            )
        )
    return OnDemandPrices(
        usd_per_hour=found.usd_per_hour,
        refused=tuple(found.refused),
        origin=origin,
        published_at=published_at,
    )


@contextmanager
def _opened(path: Path) -> Iterator["io.BufferedReader[Any]"]:
    with io.BufferedReader(io.FileIO(path), BUFFER_BYTES) as file:
        if file.peek(2)[:2] != GZIP_MAGIC:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unzipped:
            # GzipFile reads in small steps of its own; ours are large.
            yield io.BufferedReader(unzipped, BUFFER_BYTES)


def _read_json(path: Path, file: IO[bytes], found: Collection) -> datetime | None:
    reader = _OfferFile(found)
    try:
        for prefix, event, value in ijson.parse(file, multiple_values=True, buf_size=BUFFER_BYTES):
            if reader.documents and not prefix and event in ("start_map", "start_array"):
                # Two downloads run together: what the first one said is whole, and so is kept.
                found.refuse(RefusalReason.SECOND_DOCUMENT, "a second JSON document follows the first")
                break
            if not prefix.startswith(NOT_WANTED):
                reader.take(prefix, event, value)
    except ijson.JSONError as error:
        if not reader.documents:
            raise PriceFileError(f"{path.name}: cut off, or not JSON: {error}") from error
        found.refuse(RefusalReason.SECOND_DOCUMENT, f"something that is no JSON follows: {error}")
    if reader.offer_code is not None and reader.offer_code != SERVICE:
        raise PriceFileError(f"{path.name}: holds prices of {reader.offer_code}, not of {SERVICE}")
    return _instant(reader.published)


class _OfferFile:
    """Takes ijson's events; holds one product or one term at a time, and the SKUs that are wanted."""

    def __init__(self, found: Collection) -> None:
        self._found = found
        self._wanted: dict[str, tuple[str, str]] = {}
        """Instance type and region by SKU."""
        self._sku = ""
        self._key = ""
        self._attributes: dict[str, Any] = {}
        self._term: ijson.ObjectBuilder | None = None
        self.documents = 0
        self.offer_code: str | None = None
        self.published: Any = None

    def take(self, prefix: str, event: str, value: Any) -> None:
        """Take one event; terms come after all products, as AWS writes them."""
        if self._term is not None:
            self._in_term(self._term, prefix, event, value)
        elif prefix.startswith("products"):
            self._in_products(prefix, event, value)
        elif prefix == "terms.OnDemand" and event == "map_key":
            if value in self._wanted:
                self._sku, self._term = value, ijson.ObjectBuilder()
        elif prefix == "PriceList.item":
            self._saved_answer(value)
        elif not prefix and event in ("end_map", "end_array"):
            self.documents += 1
        elif prefix == "offerCode":
            self.offer_code = str(value)
        elif prefix in ("publicationDate", "PublicationDate"):
            self.published = value

    def _in_products(self, prefix: str, event: str, value: Any) -> None:
        if event == "map_key":
            if prefix == "products":
                self._sku, self._attributes = value, {}
            self._key = value
        elif event == "string":
            if self._key in WANTED_ATTRIBUTES and prefix.endswith(f".attributes.{self._key}"):
                self._attributes[self._key] = value
        elif (
            event == "end_map" and prefix == f"products.{self._sku}" and price_list.is_plain(self._attributes)
        ):
            own = self._attributes
            self._wanted[self._sku] = own.get("instanceType", ""), own.get("regionCode", self._found.region)

    def _in_term(self, builder: ijson.ObjectBuilder, prefix: str, event: str, value: Any) -> None:
        builder.event(event, value)
        if event == "end_map" and prefix == f"terms.OnDemand.{self._sku}":
            self._term = None
            name, region = self._wanted[self._sku]
            try:
                dimensions = price_list.dimensions_of(builder.value)
            except (KeyError, TypeError, AttributeError) as error:
                self._found.refuse(RefusalReason.MALFORMED, f"{name}: {error!r}")
                return
            price_list.add_dimensions(self._found, name, region, dimensions)

    def _saved_answer(self, value: Any) -> None:
        """Take one item of what `aws pricing get-products` printed: JSON within JSON."""
        try:
            product = json.loads(value)
            attributes = product["product"]["attributes"]
        except (ValueError, TypeError, KeyError) as error:
            self._found.refuse(RefusalReason.MALFORMED, f"no product: {error!r}")
            return
        if price_list.is_plain(attributes):
            price_list.add_product(self._found, product)


def _read_csv(path: Path, file: IO[bytes], found: Collection) -> datetime | None:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        return _read_csv_text(path, csv.reader(text), found)
    finally:
        text.detach()  # it would close a file that is not its own


def _read_csv_text(path: Path, rows: Iterator[list[str]], found: Collection) -> datetime | None:
    published: str | None = None
    header: list[str] = []
    for _, row in zip(range(LONGEST_HEADING), rows, strict=False):
        if row[:1] == ["SKU"]:
            header = row
            break
        if row[:1] == ["Publication Date"] and len(row) > 1:
            published = row[1]
        if row[:1] == ["OfferCode"] and len(row) > 1 and row[1] != SERVICE:
            raise PriceFileError(f"{path.name}: holds prices of {row[1]}, not of {SERVICE}")
    missing = [name for name in CSV_COLUMNS if name not in header]
    if missing:
        raise PriceFileError(f"{path.name}: not an {SERVICE} offer file: no column {', '.join(missing)}")
    at = {name: header.index(name) for name in CSV_COLUMNS}
    _read_csv_rows(rows, found, at, width=len(header))
    return _instant(published)


def _read_csv_rows(rows: Iterator[list[str]], found: Collection, at: dict[str, int], *, width: int) -> None:
    plain = [(at[column], price_list.PLAIN_LINUX[name]) for column, name in CSV_ATTRIBUTES.items()]
    term = at["TermType"]
    for row in rows:
        if len(row) != width:
            found.refuse(RefusalReason.MALFORMED, f"{len(row)} columns, not {width}: {','.join(row[:4])}")
        elif row[term] == "OnDemand" and all(row[index] == value for index, value in plain):
            found.add(
                PriceRow(
                    row[at["Instance Type"]],
                    row[at["Region Code"]],
                    row[at["Unit"]],
                    row[at["Currency"]],
                    row[at["PricePerUnit"]],
                )
            )


def _instant(text: Any) -> datetime | None:
    """Read AWS's time; what is none is unknown."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
