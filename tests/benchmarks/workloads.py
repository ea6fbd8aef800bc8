"""Pods and offers to measure with: real prices, real and published pod sizes."""

import csv
import os
import random
from collections import Counter
from collections.abc import Iterator
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
ZONES = 3
KARPENTER_CPU = (100, 250, 500, 1000, 1500)
KARPENTER_MEMORY = (100, 256, 512, 1024, 2048, 4096)


Shape = tuple[int, int, int]
"""Millicores, MiB, GPUs."""


@dataclass(frozen=True, slots=True)
class Market:
    """Offers, and what they have and cost."""

    names: tuple[str, ...]
    room: Ints
    """CPU in millicores, memory in MiB, pods, GPUs."""
    micro_usd: Ints


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    problem: FleetProblem
    gap_target: float
    seconds_target: float


def workloads() -> Iterator[Workload]:
    """Give them in the order of what they need, the smallest first."""
    plain, gpus = market(), market(("c", "m", "r", "g", "p"))
    yield Workload("openb, 1,088 CPU pods", problem(openb_cpu(), plain), 0.005, 0.5)
    yield Workload("5,000 pods, Karpenter's sizes", problem(karpenter_sizes(5000), plain), 0.015, 1)
    yield Workload("the same, a third tied to each of 3 zones", zonal(karpenter_sizes(5000), plain), 0.03, 3)
    yield Workload("openb, all 8,152 pods", problem(openb_all(), gpus), 0.02, 3)
    yield Workload("50,000 pods, 500 shapes", problem(many_shapes(50_000, 500), plain), 0.03, 15)


def market(categories: tuple[str, ...] = ("c", "m", "r")) -> Market:
    """Read the current x86 types of us-east-1 with on-demand prices."""
    with ON_DEMAND.open() as lines:
        prices = {
            row["instance_type"]: round(float(row["ondemand_price"]) * 1e6)
            for row in csv.DictReader(lines)
            if row["region"] == "us-east-1"
        }
    names, room, micro_usd = [], [], []
    with ALLOCATABLE.open() as lines:
        for row in csv.DictReader(lines):
            name, category = row["instance_type"], row["karpenter.k8s.aws/instance-category"]
            gpus = int(row["nvidia.com/gpu"] or 0)
            # Old generations have no successor among GPU types; those without an Nvidia GPU are left out.
            is_current = int(row["karpenter.k8s.aws/instance-generation"] or 0) >= CURRENT_GENERATION
            is_wanted = gpus > 0 if category in ("g", "p") else is_current and gpus == 0
            if (
                category in categories
                and row["kubernetes.io/arch"] == "amd64"
                and is_wanted
                and name in prices
            ):
                names.append(name)
                room.append([_milli(row["cpu"]), _mebibytes(row["memory"]), int(row["pods"]), gpus])
                micro_usd.append(prices[name])
    return Market(tuple(names), np.array(room, dtype=np.int64), np.array(micro_usd, dtype=np.int64))


def problem(shapes: Counter[Shape], offers: Market) -> FleetProblem:
    """Ask for pods that may run anywhere, but for GPU nodes, which are kept for pods that use a GPU."""
    kinds = sorted(shapes)
    asks = np.array([gpus > 0 for _, _, gpus in kinds], dtype=np.bool_)
    return FleetProblem(
        requests=np.array([[cpu, memory, 1, gpus] for cpu, memory, gpus in kinds], dtype=np.int64),
        counts=np.array([shapes[k] for k in kinds], dtype=np.int64),
        room=offers.room,
        micro_usd=offers.micro_usd,
        allowed=(offers.room[:, 3] > 0)[:, None] == asks[None, :],
    )


def zonal(shapes: Counter[Shape], offers: Market) -> FleetProblem:
    """Ask for the same pods with a third of each kind tied to each of three zones."""
    plain = problem(shapes, offers)
    parts = [(plain.counts + 2 - zone) // ZONES for zone in range(ZONES)]
    return FleetProblem(
        requests=np.tile(plain.requests, (ZONES, 1)),
        counts=np.concatenate(parts),
        room=np.tile(plain.room, (ZONES, 1)),
        micro_usd=np.tile(plain.micro_usd, ZONES),
        allowed=np.kron(np.eye(ZONES, dtype=np.int64), plain.allowed.astype(np.int64)).astype(np.bool_),
    )


def openb_cpu() -> Counter[Shape]:
    """Give the pods without GPU of the openb trace."""
    return Counter({k: n for k, n in openb_all().items() if k[2] == 0})


def openb_all() -> Counter[Shape]:
    """Give all pods of the openb trace; one that shares a GPU gets a whole one, as extended resources are."""
    with OPENB.open() as lines:
        return Counter(
            (int(row["cpu_milli"]), int(row["memory_mib"]), int(row["num_gpu"]))
            for row in csv.DictReader(lines)
        )


def karpenter_sizes(pods: int) -> Counter[Shape]:
    """Give pods of the sizes that Karpenter's own benchmark draws from."""
    draw = random.Random(42)
    return Counter((draw.choice(KARPENTER_CPU), draw.choice(KARPENTER_MEMORY), 0) for _ in range(pods))


def many_shapes(pods: int, shapes: int) -> Counter[Shape]:
    """Give pods of many odd sizes within Karpenter's range, some much more frequent than others."""
    draw = random.Random(7)
    kinds: set[Shape] = set()
    while len(kinds) < shapes:
        kinds.add((draw.randrange(100, 1501, 10), draw.randrange(100, 4097, 4), 0))
    ordered = sorted(kinds)
    draw.shuffle(ordered)
    weights = [1 / (1 + at) ** 0.7 for at in range(shapes)]
    return Counter(ordered) + Counter(draw.choices(ordered, weights, k=pods - shapes))


def _milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def _mebibytes(text: str) -> int:
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)
