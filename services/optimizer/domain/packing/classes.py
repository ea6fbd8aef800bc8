"""Pods that are alike are packed as one class with a count.

Everything numeric happens on arrays: a row a class, a column a resource. Amounts are whole numbers
(millicores, bytes, devices, pods), so that whether something fits is never a matter of rounding.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.kernel.resources import Resources
from shared.kernel.workload import LabelSelector, Node, Pod

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CPU, MEMORY, STORAGE, PODS = range(4)
SPREAD = "spread"
"""Key of limits per node that follow from a spread over nodes."""
UNLIMITED = np.iinfo(np.int64).max // 4


@dataclass(frozen=True, slots=True)
class NodeLimit:
    """Pods that are together on a node in no more than a number: by a host port, by keeping apart, by spreading."""

    key: Hashable
    """What kind of limit; all of it is equal for pods that share the limit, of whatever class."""
    at_most: int
    namespaces: frozenset[str] = frozenset()
    selector: LabelSelector | None = None
    """The pods that are counted; None: only those that hold the limit."""


@dataclass(frozen=True, slots=True)
class PodClass:
    """Pods that may take each other's place."""

    pods: tuple[Pod, ...]
    may_use_spot: bool
    needs_spot: bool = False
    """Whether a new node for it must be a spot one."""
    zone_id: str | None = None
    """Given when spreading settled the zone beforehand."""
    per_spot_pool: int = UNLIMITED
    """How many of it one spot pool may hold."""
    workload: str | None = None
    """Names the controller whose replicas share a limit per spot pool."""
    node_limits: tuple[NodeLimit, ...] = ()
    """What limits how many of it one node may hold, shared with other classes."""
    is_free: bool = False
    """Whether no rule between pods is about it: then nothing but requests, labels and taints matter."""

    @property
    def sample(self) -> Pod:
        """Give one of them; for placement they are all the same."""
        return self.pods[0]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which resources are counted: four that every node has, and the devices that some pod asks for."""

    extended: tuple[str, ...]

    def of_pod(self, pod: Pod) -> list[int]:
        """Give one pod's row."""
        r = pod.requests
        return [
            r.cpu_millicores,
            r.memory_bytes,
            r.ephemeral_storage_bytes,
            1,
            *(r.extended.get(n, 0) for n in self.extended),
        ]

    def of_room(self, room: Resources, pods: int) -> list[int]:
        """Give the row of what is free."""
        return [
            room.cpu_millicores,
            room.memory_bytes,
            room.ephemeral_storage_bytes,
            pods,
            *(room.extended.get(n, 0) for n in self.extended),
        ]

    def free(self, node: Node, taken_by: Iterable[Pod]) -> Ints:
        """Give what is left of a node beside the pods on it; never negative."""
        row = np.array(self.of_room(node.allocatable, node.max_pods), dtype=np.int64)
        for pod in taken_by:
            row -= np.array(self.of_pod(pod), dtype=np.int64)
        return np.maximum(row, 0)


def columns_for(pods: Iterable[Pod]) -> Columns:
    """Count every device that some pod asks for."""
    return Columns(
        tuple(sorted({n for p in pods for n, amount in p.requests.extended.items() if amount > 0}))
    )


def rows(columns: Columns, classes: Sequence[PodClass]) -> Ints:
    """Give the requests, a row a class."""
    if not classes:
        return np.zeros((0, 4 + len(columns.extended)), dtype=np.int64)
    return np.array([columns.of_pod(c.sample) for c in classes], dtype=np.int64)


def holding(room: Ints, requests: Ints) -> Bools:
    """Say for each row of `room` and each row of `requests` whether the one holds the other."""
    found = np.ones((len(requests), len(room)), dtype=np.bool_)
    for has, asked in zip(room.T, requests.T, strict=True):
        found &= asked[:, None] <= has
    return found.T
