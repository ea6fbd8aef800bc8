"""Pods to measure with: of a real cluster, of sizes that others published, and of many odd sizes."""

import csv
import random
from collections import Counter

import numpy as np

from services.optimizer.domain.columns.problem import FleetProblem
from tests.benchmarks.market import DATA, Market

OPENB = DATA / "workloads" / "openb_pod_list_default.csv"
KARPENTER_CPU = (100, 250, 500, 1000, 1500)
KARPENTER_MEMORY = (100, 256, 512, 1024, 2048, 4096)


Shape = tuple[int, int, int]
"""Millicores, MiB, GPUs."""


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
