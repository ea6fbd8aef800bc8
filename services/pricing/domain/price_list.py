"""On-demand prices: which products are the plain Linux instance that a node is, and which prices to believe.

The API, the bulk file and an operator's upload all end here, row by row.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from services.pricing.domain.refusals import RefusalReason, RefusedRow
from services.pricing.domain.sifting import HIGHEST_USD_PER_HOUR

PLAIN_LINUX = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
"""Attributes of a product, and the values they must have."""

HOURLY_UNITS = frozenset({"Hrs", "Hours"})
CURRENCY = "USD"
NOT_A_PRICE = Decimal("NaN")


class Origin(StrEnum):
    """Where on-demand prices came from."""

    API = "api"
    BULK_FILE = "bulk_file"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One row as a source has it, nothing checked."""

    instance_type: str
    region: str
    unit: str
    currency: str
    price: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandPrices:
    """What one reading of a source gave."""

    usd_per_hour: Mapping[str, Decimal]
    """By instance type."""
    refused: tuple[RefusedRow, ...] = ()
    origin: Origin = Origin.API
    published_at: datetime | None = None
    """When AWS made the file; None: it was asked just now."""


@dataclass
class Collection:
    """Takes the rows of one reading, in any order."""

    region: str
    usd_per_hour: dict[str, Decimal] = field(default_factory=dict)
    refused: list[RefusedRow] = field(default_factory=list)

    def add(self, row: PriceRow) -> None:
        """Keep the row's price, or the reason why not; of two prices of a type the dearer is kept."""
        judged = judge(row, region=self.region)
        held = self.usd_per_hour.get(row.instance_type)
        if isinstance(judged, RefusalReason):
            self.refuse(judged, row)
        elif held is None:
            self.usd_per_hour[row.instance_type] = judged
        elif held == judged:
            self.refuse(RefusalReason.DUPLICATE, row)
        else:
            self.usd_per_hour[row.instance_type] = max(held, judged)
            self.refuse(RefusalReason.CONTRADICTED, row)

    def refuse(self, reason: RefusalReason, row: object) -> None:
        """Note what is not believed."""
        text = (
            f"{row.instance_type} in {row.region}: {row.price} {row.currency} per {row.unit}"
            if isinstance(row, PriceRow)
            else str(row)
        )
        self.refused.append(RefusedRow.of(reason, text))


def judge(row: PriceRow, *, region: str) -> Decimal | RefusalReason:
    """Give the row's USD per hour, or why it is not believed."""
    usd = _decimal(row.price)
    judged: Decimal | RefusalReason = usd
    if not row.instance_type:
        judged = RefusalReason.MALFORMED
    elif row.region != region:
        judged = RefusalReason.OTHER_REGION
    elif row.currency != CURRENCY:
        judged = RefusalReason.OTHER_CURRENCY
    elif row.unit not in HOURLY_UNITS:
        judged = RefusalReason.OTHER_UNIT
    elif not usd.is_finite():
        judged = RefusalReason.NOT_A_NUMBER
    elif usd <= 0:
        judged = RefusalReason.NOT_POSITIVE
    elif usd > HIGHEST_USD_PER_HOUR:
        judged = RefusalReason.TOO_HIGH
    return judged


def is_plain(attributes: Mapping[str, Any]) -> bool:
    """Say whether a product is the plain Linux instance."""
    return all(attributes.get(name) == value for name, value in PLAIN_LINUX.items())


def add_product(found: Collection, product: Any) -> None:
    """Read one item of GetProducts' PriceList, as decoded JSON, into `found`."""
    try:
        attributes = product["product"]["attributes"]
        instance_type, region = attributes["instanceType"], attributes.get("regionCode", found.region)
        dimensions = dimensions_of(product["terms"]["OnDemand"])
    except (KeyError, TypeError, AttributeError) as error:
        found.refuse(RefusalReason.MALFORMED, f"no product with an on-demand term: {error!r}")
        return
    add_dimensions(found, instance_type, region, dimensions)


def dimensions_of(terms: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the price dimensions of all on-demand terms of one product.

    Raises:
        KeyError, TypeError, AttributeError: that is no such structure.
    """
    return [dimension for term in terms.values() for dimension in term["priceDimensions"].values()]


def add_dimensions(
    found: Collection, instance_type: Any, region: Any, dimensions: list[Mapping[str, Any]]
) -> None:
    """Read the one hourly price that an instance has; what else is there is refused with its reason."""
    if not dimensions:
        found.refuse(RefusalReason.MALFORMED, f"{instance_type}: no price")
    for dimension in dimensions:
        try:
            prices = dict(dimension["pricePerUnit"])
            unit = str(dimension["unit"])
        except (KeyError, TypeError, ValueError) as error:
            found.refuse(RefusalReason.MALFORMED, f"{instance_type}: {error!r}")
            continue
        currency = CURRENCY if CURRENCY in prices else next(iter(sorted(map(str, prices))), "")
        price = str(prices.get(currency, ""))
        found.add(PriceRow(str(instance_type or ""), str(region), unit, currency, price))


def of_types(found: OnDemandPrices, types: Set[str]) -> OnDemandPrices:
    """Leave out, with a reason, types that the region does not describe; before the first catalogue none are."""
    unknown = sorted(found.usd_per_hour.keys() - types) if types else []
    rows = tuple(RefusedRow.of(RefusalReason.UNKNOWN_TYPE, name) for name in unknown)
    known = {name: usd for name, usd in found.usd_per_hour.items() if name not in unknown}
    return replace(found, usd_per_hour=known, refused=(*found.refused, *rows))


def _decimal(text: str) -> Decimal:
    """Read a price; what is no number becomes NaN."""
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return NOT_A_PRICE
