"""Pods and offers to measure with: real prices, real and published pod sizes."""

import csv
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import FleetProblem

DATA = Path(os.environ.get("SPOT_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")
ON_DEMAND = DATA / "on-demand" / "us-east-1_and_gov_2026-07-20.csv"
ALLOCATABLE = DATA / "instance-facts" / "allocatable_al2023.csv"
OPENB = DATA / "workloads" / "openb_pod_list_default.csv"
CURRENT_GENERATION = 5
KARPENTER_CPU = (100, 250, 500, 1000, 1500)
KARPENTER_MEMORY = (100, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Market:
    """Types and what they have and cost."""

    names: tuple[str, ...]
    room: Ints
    """CPU in millicores, memory in MiB, pods."""
    micro_usd: Ints


def market() -> Market:
    """Read the current x86 c, m and r types of us-east-1 with on-demand prices."""
    with ON_DEMAND.open() as lines:
        prices = {
            row["instance_type"]: round(float(row["ondemand_price"]) * 1e6)
            for row in csv.DictReader(lines)
            if row["region"] == "us-east-1"
        }
    names, room, micro_usd = [], [], []
    with ALLOCATABLE.open() as lines:
        for row in csv.DictReader(lines):
            name = row["instance_type"]
            is_current = int(row["karpenter.k8s.aws/instance-generation"] or 0) >= CURRENT_GENERATION
            if (
                row["karpenter.k8s.aws/instance-category"] not in ("c", "m", "r")
                or row["kubernetes.io/arch"] != "amd64"
                or not is_current
                or name not in prices
            ):
                continue
            names.append(name)
            room.append([_milli(row["cpu"]), _mebibytes(row["memory"]), int(row["pods"])])
            micro_usd.append(prices[name])
    return Market(tuple(names), np.array(room, dtype=np.int64), np.array(micro_usd, dtype=np.int64))


def problem(shapes: Counter[tuple[int, int]], offers: Market) -> FleetProblem:
    """Ask for pods of (millicores, MiB), each of which may run anywhere."""
    kinds = sorted(shapes)
    return FleetProblem(
        requests=np.array([[cpu, memory, 1] for cpu, memory in kinds], dtype=np.int64),
        counts=np.array([shapes[k] for k in kinds], dtype=np.int64),
        room=offers.room,
        micro_usd=offers.micro_usd,
        allowed=np.ones((len(offers.names), len(kinds)), dtype=np.bool_),
    )


def openb_cpu() -> Counter[tuple[int, int]]:
    """Give the pods without GPU of the openb trace."""
    with OPENB.open() as lines:
        return Counter(
            (int(row["cpu_milli"]), int(row["memory_mib"]))
            for row in csv.DictReader(lines)
            if int(row["num_gpu"]) == 0
        )


def karpenter_sizes(pods: int) -> Counter[tuple[int, int]]:
    """Give pods of the sizes that Karpenter's own benchmark draws from."""
    draw = random.Random(42)
    return Counter((draw.choice(KARPENTER_CPU), draw.choice(KARPENTER_MEMORY)) for _ in range(pods))


def many_shapes(pods: int, shapes: int) -> Counter[tuple[int, int]]:
    """Give pods of many odd sizes within Karpenter's range, some much more frequent than others."""
    draw = random.Random(7)
    kinds: set[tuple[int, int]] = set()
    while len(kinds) < shapes:
        kinds.add((draw.randrange(100, 1501, 10), draw.randrange(100, 4097, 4)))
    ordered = sorted(kinds)
    draw.shuffle(ordered)
    weights = [1 / (1 + at) ** 0.7 for at in range(shapes)]
    found = Counter(draw.choices(ordered, weights, k=pods))
    return found + Counter({k: 1 for k in ordered if k not in found})


def _milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def _mebibytes(text: str) -> int:
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)
