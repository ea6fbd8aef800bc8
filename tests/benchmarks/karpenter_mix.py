"""The pods of Karpenter's own scheduling benchmark: a fifth each of five kinds, of sizes drawn alike.

Generic ones; ones spread over zones and ones spread over nodes, with a skew of one; ones that want the zone of
their like; ones that want no node with another of them. Spread and wanted pods carry one of seven values of a
label. This is what the solver is asked once zones are dealt out: pods spread over zones evenly, those that want
their like to one zone per value. Of pods spread over nodes a node takes one of each value, so seven in all.
"""

import random
from collections import Counter

import numpy as np

from services.optimizer.domain.columns.problem import FleetProblem
from tests.benchmarks.market import ZONES, Market
from tests.benchmarks.workloads import KARPENTER_CPU, KARPENTER_MEMORY

GENERIC, ZONAL, HOSTNAME, AFFINITY, ALONE = range(5)
KINDS, LABELS = 5, 7
ANY_ZONE = -1


def karpenter_mix(pods: int, offers: Market) -> FleetProblem:
    """Give the problem, pods that are alike to the solver as one shape."""
    draw = random.Random(42)
    shapes: Counter[tuple[int, int, int, int]] = Counter()
    dealt: Counter[int] = Counter()
    for pod in range(pods):
        kind, zone = pod * KINDS // pods, ANY_ZONE
        size = (draw.choice(KARPENTER_CPU), draw.choice(KARPENTER_MEMORY))
        label = draw.randrange(LABELS)
        if kind == ZONAL:
            # One value after the other starts in another zone, so that no zone gets all that is left over.
            kind, zone = GENERIC, (dealt[label] + label) % len(ZONES)
            dealt[label] += 1
        elif kind == AFFINITY:
            kind, zone = GENERIC, label % len(ZONES)
        shapes[kind, zone, *size] += 1
    table = np.array(sorted(shapes), dtype=np.int64)
    kinds, zones = table[:, 0], table[:, 1]
    places = np.stack([np.ones(len(table), dtype=np.int64), kinds == HOSTNAME, kinds == ALONE], axis=1)
    room = np.tile(np.array([LABELS, 1], dtype=np.int64), (len(offers.names), 1))
    may_be_there = (zones == ANY_ZONE) | (zones[None, :] == offers.zone[:, None])
    return FleetProblem(
        requests=np.hstack([table[:, 2:], places.astype(np.int64)]),
        counts=np.array([shapes[tuple(row)] for row in table.tolist()], dtype=np.int64),
        room=np.hstack([offers.room[:, :3], room]),
        micro_usd=offers.micro_usd,
        allowed=(offers.room[:, 3] == 0)[:, None] & may_be_there,
    )
