"""Offer files as AWS writes them, made row by row so that they may be larger than memory."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

REGION = "us-east-1"
PUBLISHED = "2026-07-20T18:09:37Z"

PLAIN = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
VARIANTS: Sequence[dict[str, str]] = (
    PLAIN,
    {**PLAIN, "operatingSystem": "Windows", "licenseModel": "No License required"},
    {**PLAIN, "tenancy": "Dedicated"},
    {**PLAIN, "preInstalledSw": "SQL Ent"},
    {**PLAIN, "capacitystatus": "UnusedCapacityReservation"},
    {**PLAIN, "operatingSystem": "RHEL"},
)
COLUMNS = [
    "SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate", "StartingRange",
    "EndingRange", "Unit", "PricePerUnit", "Currency", "LeaseContractLength", "PurchaseOption", "OfferingClass",
    "Product Family", "serviceCode", "Location", "Location Type", "Instance Type", "Current Generation",
    "Tenancy", "Operating System", "License Model", "CapacityStatus", "Pre Installed S/W", "Region Code",
]  # fmt: skip
DESCRIPTION = (
    "USD per On Demand Linux instance hour, and so on for as long as AWS's own descriptions are. " * 2
)


def instance_types(count: int) -> list[str]:
    return [f"m{number}.large" for number in range(count)]


def price(number: int) -> str:
    return f"{0.01 * (number + 1):.10f}"


def write_json(path: Path, *, types: int, reserved_terms: int = 3) -> None:
    """Write `types` types in every variant, with on-demand and reserved terms."""
    with path.open("w") as file:
        for part in _json_parts(types, reserved_terms):
            file.write(part)


def _json_parts(types: int, reserved_terms: int) -> Iterator[str]:
    head = {
        "formatVersion": "v1.0",
        "disclaimer": "for information",
        "offerCode": "AmazonEC2",
        "version": "1",
    }
    yield json.dumps(head)[:-1] + f', "publicationDate": "{PUBLISHED}", "products": {{'
    comma = ""
    for name, variant, attributes, _ in _products(types):
        product = {
            "sku": _sku(name, variant),
            "productFamily": "Compute Instance",
            "attributes": {
                "servicecode": "AmazonEC2", "instanceType": name, "regionCode": REGION, "location": DESCRIPTION,
                "usagetype": "BoxUsage", "operation": "RunInstances", **attributes,
            },
        }  # fmt: skip
        yield f"{comma}{json.dumps(_sku(name, variant))}: {json.dumps(product)}"
        comma = ", "
    yield '}, "terms": {"OnDemand": {'
    yield from _terms(types, "JRTCKXETXF", 1)
    yield '}, "Reserved": {'
    yield from _terms(types, "38NPMPTW36", reserved_terms)
    yield '}}, "attributesList": {}}'


def _terms(types: int, code: str, count: int) -> Iterator[str]:
    comma = ""
    for name, variant, _, usd in _products(types):
        sku = _sku(name, variant)
        offers = {
            f"{sku}.{code}{number}": {
                "offerTermCode": code,
                "sku": sku,
                "effectiveDate": "2026-07-01T00:00:00Z",
                "priceDimensions": {
                    f"{sku}.{code}{number}.6YS6EN2CT7": {
                        "rateCode": f"{sku}.{code}{number}.6YS6EN2CT7",
                        "description": DESCRIPTION,
                        "beginRange": "0",
                        "endRange": "Inf",
                        "unit": "Hrs",
                        "pricePerUnit": {"USD": usd},
                        "appliesTo": [],
                    }
                },
                "termAttributes": {},
            }
            for number in range(count)
        }
        yield f"{comma}{json.dumps(sku)}: {json.dumps(offers)}"
        comma = ", "


def write_csv(path: Path, *, types: int, reserved_terms: int = 3) -> None:
    """Write the same as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        for line in (
            ["FormatVersion", "v1.0"],
            ["Disclaimer", "for information"],
            ["Publication Date", PUBLISHED],
            ["Version", "1"],
            ["OfferCode", "AmazonEC2"],
            COLUMNS,
        ):
            writer.writerow(line)
        for name, variant, attributes, usd in _products(types):
            for term in ["OnDemand", *["Reserved"] * reserved_terms]:
                row = dict.fromkeys(COLUMNS, "") | {
                    "SKU": _sku(name, variant), "TermType": term, "PriceDescription": DESCRIPTION, "Unit": "Hrs",
                    "PricePerUnit": usd, "Currency": "USD", "Instance Type": name, "Region Code": REGION,
                    "Tenancy": attributes["tenancy"], "Operating System": attributes["operatingSystem"],
                    "License Model": attributes["licenseModel"], "CapacityStatus": attributes["capacitystatus"],
                    "Pre Installed S/W": attributes["preInstalledSw"],
                }  # fmt: skip
                writer.writerow([row[column] for column in COLUMNS])


def _products(types: int) -> Iterator[tuple[str, int, dict[str, str], str]]:
    for number, name in enumerate(instance_types(types)):
        for variant, attributes in enumerate(VARIANTS):
            yield name, variant, attributes, price(number) if variant == 0 else "9.9900000000"


def _sku(name: str, variant: int) -> str:
    return f"{name.replace('.', '').upper():0>12}{variant}"
