"""What can be bought in us-east-1: types with a price and known room, on-demand and spot, in six zones.

On-demand prices are those of July 2026. Spot prices are the last known of each type and zone: those of January
2024, else those of April 2021; one that is above today's on-demand price is left out. A type is on sale in the
zones in which a spot price was ever seen; one that never was, in all.
"""

import csv
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints

DATA = Path(os.environ.get("SPOT_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")
ON_DEMAND = DATA / "on-demand" / "us-east-1_and_gov_2026-07-20.csv"
ALLOCATABLE = DATA / "instance-facts" / "allocatable_al2023.csv"
# The later one wins.
SPOT = (
    DATA / "spot-prices" / "us-east-1_2021-03_2021-04.csv.gz",
    DATA / "spot-prices" / "us-east-1_2024-01-09_2024-01-20_sparse.csv.gz",
)
ZONES = tuple(f"us-east-1{letter}" for letter in "abcdef")
GENERAL, LAST_OLD_GENERATION = ("c", "m", "r"), 4


@dataclass(frozen=True, slots=True)
class Market:
    """Offers, and what they have and cost."""

    names: tuple[str, ...]
    """Of types, per offer."""
    zone: Ints
    """Place in `ZONES`."""
    is_spot: Bools
    room: Ints
    """CPU in millicores, memory in MiB, pods, GPUs."""
    micro_usd: Ints

    @property
    def on_demand(self) -> "Market":
        """Give the offers that are not spot, of one zone: they cost the same in all."""
        at = np.flatnonzero(~self.is_spot & (self.zone == 0))
        return Market(
            tuple(self.names[o] for o in at),
            self.zone[at],
            self.is_spot[at],
            self.room[at],
            self.micro_usd[at],
        )

    def __str__(self) -> str:
        types = len(set(self.names))
        spot = int(self.is_spot.sum())
        return f"{len(self.names)} offers: {types} types, {len(self.names) - spot} on-demand and {spot} spot"


def market(*, gpus: bool = False) -> Market:
    """Read the x86 types of families c, m and r from the fifth generation on; `gpus` adds all with an Nvidia GPU."""
    with ON_DEMAND.open() as lines:
        prices = {
            row["instance_type"]: round(float(row["ondemand_price"]) * 1e6)
            for row in csv.DictReader(lines)
            if row["region"] == "us-east-1"
        }
    spot: dict[tuple[str, str], int] = {}
    for path in SPOT:
        spot.update(_last_prices(path))
    seen: dict[str, set[str]] = {}
    for name, zone in spot:
        seen.setdefault(name, set()).add(zone)
    names: list[str] = []
    rows: list[list[int]] = []
    for name, room in _rooms(gpus=gpus):
        for at, zone in enumerate(ZONES):
            if name not in prices or zone not in seen.get(name, ZONES):
                continue
            names.append(name)
            rows.append([at, 0, prices[name], *room])
            if spot.get((name, zone), prices[name]) < prices[name]:
                names.append(name)
                rows.append([at, 1, spot[name, zone], *room])
    table = np.array(rows, dtype=np.int64)
    return Market(tuple(names), table[:, 0], table[:, 1].astype(np.bool_), table[:, 3:], table[:, 2])


def _rooms(*, gpus: bool) -> Iterator[tuple[str, list[int]]]:
    with ALLOCATABLE.open() as lines:
        for row in csv.DictReader(lines):
            devices = int(row["nvidia.com/gpu"] or 0)
            is_general = row["karpenter.k8s.aws/instance-category"] in GENERAL and not devices
            is_new = int(row["karpenter.k8s.aws/instance-generation"] or 0) > LAST_OLD_GENERATION
            if row["kubernetes.io/arch"] == "amd64" and ((is_general and is_new) or (gpus and devices)):
                room = [_milli(row["cpu"]), _mebibytes(row["memory"]), int(row["pods"]), devices]
                yield row["instance_type"], room


def _last_prices(path: Path) -> dict[tuple[str, str], int]:
    last: dict[tuple[str, str], tuple[str, int]] = {}
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            key = (row["InstanceType"], row["AvailabilityZone"])
            if row.get("ProductDescription", "Linux/UNIX") == "Linux/UNIX" and row["SpotPrice"]:
                seen = (row["Timestamp"], round(float(row["SpotPrice"]) * 1e6))
                last[key] = max(last.get(key, seen), seen)
    return {key: price for key, (_, price) in last.items()}


def _milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def _mebibytes(text: str) -> int:
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)
