"""Splitting what a node cost over the workloads on it.

A pod's share is the mean of its shares of CPU and of memory, by requests; what nobody requested is idle. Whatever
rounding leaves over goes to idle too, so that the parts sum to the cost exactly.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from services.reporting.domain.ledger import MICROSECOND, PICO_USD, Charge, hours, overlap

GIB = Decimal(1024**3)
MILLICORES = Decimal(1000)


@dataclass(frozen=True, slots=True, order=True)
class WorkloadKey:
    """Whose cost it is."""

    namespace: str
    kind: str
    name: str


IDLE = WorkloadKey("", "", "")
"""Nobody's: paid for and not requested."""


@dataclass(frozen=True, slots=True)
class PodSpan:
    """A pod's presence on a node; `until` is None while it is there."""

    node_name: str
    workload: WorkloadKey
    cpu_millicores: int
    memory_bytes: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Requested:
    """What pods asked for, over time."""

    vcpu_hours: Decimal = Decimal(0)
    gib_hours: Decimal = Decimal(0)


def by_node(pods: Iterable[PodSpan]) -> Mapping[str, Sequence[PodSpan]]:
    """Group pods by the node they are on."""
    found: defaultdict[str, list[PodSpan]] = defaultdict(list)
    for pod in pods:
        found[pod.node_name].append(pod)
    return found


def allocate(charges: Iterable[Charge], pods: Mapping[str, Sequence[PodSpan]]) -> dict[WorkloadKey, Decimal]:
    """Split every priced charge; the parts sum to the charges' cost exactly."""
    costs: defaultdict[WorkloadKey, Decimal] = defaultdict(Decimal)
    for charge in charges:
        cost = charge.cost_usd
        if cost is None:
            continue
        left = cost
        for workload, share in _shares(charge, pods.get(charge.node.name, ())).items():
            part = (cost * share.numerator / share.denominator).quantize(PICO_USD, ROUND_FLOOR)
            part = min(part, left)
            costs[workload] += part
            left -= part
        costs[IDLE] += left
    return dict(costs)


def requested(charges: Iterable[Charge], pods: Mapping[str, Sequence[PodSpan]]) -> Requested:
    """Sum what pods requested on nodes whose price is known.

    Requests on unpriced nodes are left out as their cost is: else they would look like savings.
    """
    vcpu_hours = gib_hours = Decimal(0)
    for charge in charges:
        if charge.usd_per_hour is None:
            continue
        for pod in pods.get(charge.node.name, ()):
            there = overlap(pod.since, pod.until, charge.start, charge.end)
            if there is not None:
                spent = hours(*there)
                vcpu_hours += Decimal(pod.cpu_millicores) / MILLICORES * spent
                gib_hours += Decimal(pod.memory_bytes) / GIB * spent
    return Requested(vcpu_hours, gib_hours)


def _shares(charge: Charge, pods: Sequence[PodSpan]) -> dict[WorkloadKey, Fraction]:
    """Give each workload's share of a charge; they sum to at most 1, even where a node is over-requested."""
    length = (charge.end - charge.start) // MICROSECOND
    weights: list[tuple[WorkloadKey, int, int]] = []
    for pod in pods:
        there = overlap(pod.since, pod.until, charge.start, charge.end)
        if there is not None:
            time = (there[1] - there[0]) // MICROSECOND
            weights.append((pod.workload, pod.cpu_millicores * time, pod.memory_bytes * time))
    cpu = max(charge.node.cpu_millicores * length, sum(w[1] for w in weights), 1)
    memory = max(charge.node.memory_bytes * length, sum(w[2] for w in weights), 1)
    shares: defaultdict[WorkloadKey, Fraction] = defaultdict(Fraction)
    for workload, cpu_time, memory_time in weights:
        shares[workload] += (Fraction(cpu_time, cpu) + Fraction(memory_time, memory)) / 2
    return dict(sorted(shares.items()))
