"""Recorded pools as files: `{"metadata": {"gap_seconds"}, "data": [instances up per tick]}`.

A file's place says what it is: a folder `preemption` or `availability` among its parents gives the kind, its
own folder the collection it was recorded with, its name zone and machine (`us-east-1a_v100_1.json`). Only AWS
zones are read; recordings of other clouds are counted and left out.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np

from services.pricing.domain.risk_model.traces import UNKNOWN, Floats, Integers, Trace, TraceKind
from shared.kernel.errors import PermanentError

AWS_ZONE: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-\d[a-z]")
TYPE_BY_MACHINE: Final[Mapping[str, str]] = {
    "v100_1": "p3.2xlarge",
    "v100_4": "p3.8xlarge",
    "v100_8": "p3.16xlarge",
    "k80_1": "p2.xlarge",
    "k80_8": "p2.8xlarge",
    "k80_16": "p2.16xlarge",
    "t4_1": "g4dn.xlarge",
    "t4_4": "g4dn.12xlarge",
    "t4_8": "g4dn.metal",
    "a100_8": "p4d.24xlarge",
    "intel_64": "r5.16xlarge",
}
"""The recordings name accelerators; EC2 and Spot Advisor name types."""
LARGEST_TICK_SECONDS: Final = 86_400
KINDS: Final = {kind.value: kind for kind in TraceKind}


class RiskFileError(PermanentError):
    """A file is not what it should be."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """All readable traces of a folder."""

    traces: tuple[Trace, ...]
    other_clouds: int


def read_traces(folder: Path) -> Recordings:
    """Read every recording below a folder, in order of path.

    Raises:
        RiskFileError: there is none, or one is broken.
    """
    if not folder.is_dir():
        raise RiskFileError(f"{folder} is no folder.")
    found: list[Trace] = []
    others = 0
    for path in sorted(folder.rglob("*.json")):
        zone, _, machine = path.stem.partition("_")
        if not AWS_ZONE.fullmatch(zone):
            others += 1
        else:
            found.append(_trace(path, folder, zone, machine))
    if not found:
        raise RiskFileError(f"{folder} holds no recording of an AWS zone, such as us-east-1a_v100_1.json.")
    return Recordings(tuple(found), others)


def _trace(path: Path, folder: Path, zone: str, machine: str) -> Trace:
    kinds = [KINDS[part] for part in path.absolute().parts[:-1] if part in KINDS]
    if not kinds:
        raise RiskFileError(
            f"{path} lies in no folder named preemption or availability, so nobody knows what its drops mean."
        )
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RiskFileError(f"{path} cannot be read as JSON: {error}.") from error
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        raise RiskFileError(f"{path} has no metadata with gap_seconds.")
    tick = metadata.get("gap_seconds")
    if not _is_number(tick) or not 0 < tick <= LARGEST_TICK_SECONDS:
        raise RiskFileError(f"{path} has the gap_seconds {tick!r}; it is a number above 0, at most a day.")
    up = _counts(path, document.get("data"))
    return Trace(
        name=str(path.absolute().relative_to(folder.absolute()).with_suffix("")),
        kind=kinds[-1],
        zone=zone,
        instance_type=str(metadata.get("instance_type") or TYPE_BY_MACHINE.get(machine, machine)),
        collection="/".join(path.absolute().parts[-3:-1]),
        tick_seconds=float(tick),
        up=up,
        prices_usd_per_hour=_prices(path, document.get("prices"), len(up)),
    )


def _counts(path: Path, data: Any) -> Integers:
    if not isinstance(data, list) or not data:
        raise RiskFileError(f"{path} has no data.")
    for number, value in enumerate(data):
        if value is None:
            continue
        if not _is_number(value) or value < 0 or value != int(value):
            raise RiskFileError(
                f"{path} has {value!r} instances up at tick {number}; it is 0, 1, 2, … or null."
            )
    return np.array([UNKNOWN if value is None else int(value) for value in data], dtype=np.int64)


def _prices(path: Path, data: Any, ticks: int) -> Floats | None:
    if data is None:
        return None
    if not isinstance(data, list) or len(data) != ticks:
        raise RiskFileError(f"{path} has prices that do not match its ticks.")
    try:
        prices = np.array([float(value) for value in data])
    except (TypeError, ValueError) as error:
        raise RiskFileError(f"{path} has a price that is no number: {error}.") from error
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise RiskFileError(f"{path} has a price that is not above zero.")
    return prices


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
