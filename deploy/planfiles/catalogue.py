"""What EC2 offers, without asking EC2: facts and prices that come with packages we install anyway.

moto ships the descriptions of every type and the zones that offer it; sparecores-data ships on-demand prices. Neither
is imported: moto is slow to, and sparecores-data goes to the network when it is. Their data files are read as files.
"""

import gzip
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deploy.planfiles.documents import PlanFileError, json_documents
from services.pricing.domain.instance_types import instance_type_from
from shared.kernel.capacity import InstanceType


@dataclass(frozen=True, slots=True)
class RegionOfferings:
    """The zones of a region, and which types each of them has."""

    zones: Mapping[str, str]
    """Zone id by zone name; one fixed mapping, since the real one differs from account to account."""
    types: Mapping[str, frozenset[str]]
    """Names of the zones that offer a type."""


@cache
def bundled_types() -> Mapping[str, InstanceType]:
    """Give every type that the bundled catalogue describes."""
    with gzip.open(_package("moto") / "ec2/resources/instance_types.json.gz") as file:
        described: Mapping[str, Mapping[str, Any]] = json.load(file)
    found = (instance_type_from(d) for d in described.values())
    return {t.name: t for t in found if t is not None}


@cache
def bundled_offerings(region: str) -> RegionOfferings | None:
    """Give what the bundled catalogue says of a region, None when it does not know it."""
    folder = _package("moto") / "ec2/resources/instance_type_offerings"
    name = f"{region}.json.gz"
    if not region.replace("-", "").isalnum() or not (folder / "availability-zone" / name).is_file():
        return None
    with gzip.open(folder / "availability-zone" / name) as file:
        by_name: list[dict[str, str]] = json.load(file)
    with gzip.open(folder / "availability-zone-id" / name) as file:
        by_id: list[dict[str, str]] = json.load(file)
    names = sorted({o["Location"] for o in by_name})
    ids = sorted({o["Location"] for o in by_id})
    types: dict[str, set[str]] = {}
    for offering in by_name:
        types.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    return RegionOfferings(
        zones=dict(zip(names, ids, strict=True)) if len(names) == len(ids) else {n: n for n in names},
        types={t: frozenset(z) for t, z in types.items()},
    )


@cache
def bundled_on_demand_prices(region: str) -> Mapping[str, float]:
    """Give on-demand USD per hour by type; empty for a region without prices in dollars."""
    database = _package("sc_data") / "data" / "sc-data-all.db"
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        rows = connection.execute(
            "select server_id, price from server_price where vendor_id = 'aws' and datacenter_id = ?"
            " and allocation = 'ONDEMAND' and operating_system = 'Linux' and currency = 'USD'"
            " and price > 0 order by server_id",
            (region,),
        ).fetchall()
    finally:
        connection.close()
    return {str(name): float(price) for name, price in rows}


def described_types(path: Path) -> Mapping[str, InstanceType]:
    """Read the output of `aws ec2 describe-instance-types`.

    Raises:
        PlanFileError: it is not such output.
    """
    found: dict[str, InstanceType] = {}
    for document in json_documents(path):
        items = document.get("InstanceTypes") if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise PlanFileError(f"{path}: there is no InstanceTypes in it.")
        for number, item in enumerate(items, start=1):
            try:
                instance_type = instance_type_from(item)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise PlanFileError(
                    f"{path}, item {number}: this does not describe an instance type."
                ) from error
            if instance_type is not None:
                found[instance_type.name] = instance_type
    if not found:
        raise PlanFileError(f"{path} describes no instance type that Kubernetes can run on.")
    return found


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise PlanFileError(f"The package {name} is not installed; run `make install`.")
    return Path(next(iter(spec.submodule_search_locations)))
