"""A cluster that has aged: nodes bought when other pods ran on them, and pods left where they are."""

import random
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem
from tests.benchmarks.market import Market
from tests.benchmarks.workloads import KARPENTER_CPU, KARPENTER_MEMORY

VCPU_MILLI = (12_000, 50_000)
"""Nodes have about 16 to 48 vCPU."""
DEAREST = 3
"""Only the cheapest one in so many, by core, were ever bought."""
FULL = (0.45, 0.98)
"""The share of CPU or of memory, whichever comes first, that pods still ask for."""
MOVE_MICRO_USD = 500
"""What moving one pod is charged, as a part of an hour's price."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes that run, by the offer they were bought as, and what is on them."""

    requests: Ints
    offers: Ints
    """Per node."""
    counts: Ints
    """Node x shape."""

    def cost(self, market: Market) -> int:
        """Give micro-USD an hour."""
        return int(market.micro_usd[self.offers].sum())


def aged(nodes: int, pods: int, market: Market) -> Cluster:
    """Give a cluster of so many nodes, and about so many pods of Karpenter's sizes."""
    draw = random.Random(11)
    cpu = market.room[:, 0]
    right = np.flatnonzero((cpu > VCPU_MILLI[0]) & (cpu < VCPU_MILLI[1]) & (market.room[:, 3] == 0))
    cheapest = right[np.argsort(market.micro_usd[right] * 1000 // cpu[right], kind="stable")]
    choice = cheapest[: len(cheapest) // DEAREST].tolist()
    shapes = [(c, m, 1) for c in KARPENTER_CPU for m in KARPENTER_MEMORY]
    requests = np.array(shapes, dtype=np.int64)
    offers = np.array([draw.choice(choice) for _ in range(nodes)], dtype=np.int64)
    counts = np.zeros((nodes, len(shapes)), dtype=np.int64)
    shares = [draw.uniform(*FULL) for _ in range(nodes)]
    placed = 0
    open_nodes = list(range(nodes))
    while placed < pods and open_nodes:
        at = draw.randrange(len(open_nodes))
        node, shape = open_nodes[at], draw.randrange(len(shapes))
        used = counts[node] @ requests + requests[shape]
        if (used <= market.room[offers[node], :3] * shares[node]).all():
            counts[node, shape] += 1
            placed += 1
        else:
            open_nodes.pop(at)
    return Cluster(requests, offers, counts)


def replan(cluster: Cluster, market: Market) -> FleetProblem:
    """Ask for the cheapest fleet, given what runs: the offers of the market, then each node with its pods."""
    moving = cluster.counts.sum(axis=1) * MOVE_MICRO_USD
    worth_keeping = np.maximum(market.micro_usd[cluster.offers] - moving, 0)
    room = market.room[:, :3]
    market_offers, nodes = len(market.names), len(cluster.offers)
    allowed = np.ones((market_offers + nodes, len(cluster.requests)), dtype=np.bool_)
    allowed[:market_offers] = (market.room[:, 3] == 0)[:, None]
    own = np.vstack([np.zeros((market_offers, len(cluster.requests)), dtype=np.int64), cluster.counts])
    return FleetProblem(
        requests=cluster.requests,
        counts=cluster.counts.sum(axis=0),
        room=np.vstack([room, room[cluster.offers] - cluster.counts @ cluster.requests]),
        micro_usd=np.concatenate([market.micro_usd, worth_keeping]),
        allowed=allowed,
        copies=np.concatenate([np.full(market_offers, UNBOUNDED), np.ones(nodes, dtype=np.int64)]),
        own=own,
    )
