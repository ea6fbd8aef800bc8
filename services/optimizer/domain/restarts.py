"""Whether a fleet takes all of its pods back when every one of them has to be placed anew.

kube-scheduler spreads: it puts each pod on the least allocated node, in whatever order they come. A fleet that
holds its pods only the way they happen to lie today would not survive a roll-out of them. So pods are drawn in
several orders and placed on the empty nodes; whoever is left over counts. The answer depends on the pods and on
the nodes, and not on where the pods are: a fleet that passes today passes tomorrow, after all pods moved. That is
what makes a plan the last one: what would be given up next is given up at once, or not at all.

Only requests, what labels and taints permit, and limits per node are looked at: rehearsals look at the rest.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.packing.classes import (
    CPU,
    MEMORY,
    UNLIMITED,
    Bools,
    Columns,
    Ints,
    NodeLimit,
    columns_for,
)
from services.optimizer.domain.packing.grouping import node_limits
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.scheduling import volumes
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.workload import Node, Pod, Volume

DRAWS = 40
"""Orders in which the pods come back."""
DRAWS_WHEN_LARGE = 2
"""With thousands of pods one order is much like another."""
LARGE_CROWD = 2000


@compiled
def leftover(
    requests: Ints,
    per_node: Ints,
    order: Ints,
    free: Ints,
    room: Ints,
    allowed: Bools,
    ties: Ints,
    most: int,
    counts: Ints,
    waiting: Ints,
) -> int:
    """Place pods one by one on the least allocated node that takes them.

    Args:
        requests: class x resource.
        per_node: how many of a class one node may hold.
        order: the class of each pod, in the order they come.
        free: node x resource; what is left, changed in place.
        room: node x (CPU, memory), for the score.
        allowed: node x class.
        ties: per node; of equals the one with the lowest number is taken.
        most: with more left over than this nobody is interested any more.
        counts: node x class, out: how many were placed.
        waiting: per class, out: how many were left over.

    Returns:
        How many pods found no node, counted up to `most` + 1.
    """
    nodes, resources = free.shape
    left = 0
    for at in range(len(order)):
        c = order[at]
        if waiting[c] > 0 and per_node[c] > len(order):
            # The one before it found nothing, and nothing has become free since.
            waiting[c] += 1
            left += 1
            if left > most:
                return left
            continue
        best, best_score = -1, -1
        for n in range(nodes):
            if not allowed[n, c] or counts[n, c] >= per_node[c]:
                continue
            fits = True
            for r in range(resources):
                if requests[c, r] > free[n, r]:
                    fits = False
                    break
            if not fits:
                continue
            score = (free[n, 0] - requests[c, 0]) * 10_000 // room[n, 0]
            score += (free[n, 1] - requests[c, 1]) // 1024 * 10_000 // room[n, 1]
            if score > best_score or (score == best_score and ties[n] < ties[best]):
                best, best_score = n, score
        if best < 0:
            waiting[c] += 1
            left += 1
            if left > most:
                return left
            continue
        counts[best, c] += 1
        for r in range(resources):
            free[best, r] -= requests[c, r]
    return left


@dataclass(frozen=True, slots=True)
class Hosts:
    """Nodes as numbers, a row a node."""

    free: Ints
    """Node x resource: what the crowd may take of it."""
    room: Ints
    """Node x (millicores, KiB) allocatable; never 0."""
    allowed: Bools
    """Node x class: what labels and taints permit."""
    wanted: Bools
    """Node x class: what policy permits beside."""

    def only(self, rows: Sequence[int] | Ints | Bools) -> "Hosts":
        """Give some of them, in that order."""
        return Hosts(self.free[rows], self.room[rows], self.allowed[rows], self.wanted[rows])


@dataclass(frozen=True, slots=True)
class Returned:
    """How a restart of everything went, at worst."""

    left: int
    """Pods without a node."""
    waiting: Ints
    """Per class, of the order in which most were left."""
    counts: Ints
    """Node x class, of the last order that was played."""


class Crowd:
    """The pods that would come back, by class; and how they fare on some nodes."""

    def __init__(
        self, pods: Iterable[Pod], volumes_known: Iterable[Volume], *, refuses_spot: Callable[[Pod], bool]
    ) -> None:
        everyone = tuple(pods)
        self._claims = {v.key: v for v in volumes_known} or None
        self._columns = columns_for(everyone)
        groups: dict[Hashable, list[Pod]] = {}
        for pod in sorted(everyone, key=lambda p: p.key):
            groups.setdefault((refuses_spot(pod), _likeness(pod, self._columns)), []).append(pod)
        # Names play no part in the order: pods come back under new ones.
        keys = sorted(groups, key=repr)
        self.classes: tuple[tuple[Pod, ...], ...] = tuple(tuple(groups[key]) for key in keys)
        self.keys = frozenset(p.key for p in everyone)
        self.size = len(everyone)
        samples = [c[0] for c in self.classes]
        self._refuses = np.array([refuses_spot(p) for p in samples], dtype=np.bool_)
        self.requests: Ints = np.array([self._columns.of_pod(p) for p in samples], dtype=np.int64).reshape(
            len(samples), 4 + len(self._columns.extended)
        )
        self._per_node = np.array([_most_per_node(p) for p in samples], dtype=np.int64)
        self._label_keys = _label_keys(samples, self._claims)
        by_name = any(t.fields for p in samples for t in p.node_affinity)
        self._reads_names = by_name or "kubernetes.io/hostname" in self._label_keys
        self._permitted: dict[Hashable, Bools] = {}
        counts = np.array([len(c) for c in self.classes], dtype=np.int64)
        self.total: Ints = counts @ self.requests if len(samples) else np.zeros(4, dtype=np.int64)
        one_by_one = np.repeat(np.arange(len(samples), dtype=np.int64), counts)
        draws = DRAWS if self.size < LARGE_CROWD else DRAWS_WHEN_LARGE
        # The first draw is the policy's own: those that may not run on spot come first, the largest ahead.
        by_size = np.lexsort((*(-self.requests[:, r] for r in (MEMORY, CPU)), ~self._refuses))
        self._orders = [np.repeat(by_size, counts[by_size])]
        self._orders += [np.random.default_rng(d).permutation(one_by_one) for d in range(1, draws)]

    @property
    def draws(self) -> int:
        """Give in how many orders the pods come."""
        return len(self._orders)

    def hosts(self, nodes: Iterable[StandingNode]) -> Hosts:
        """Put nodes as numbers: pods that are not of the crowd keep their room."""
        known: dict[Hashable, Ints] = {}
        free, room, allowed, wanted = [], [], [], []
        for standing in nodes:
            node = standing.node
            fixed = [p for p in standing.pods if p.key not in self.keys]
            own = tuple(self._columns.of_room(node.allocatable, node.max_pods))
            key = (own, tuple(sorted(tuple(self._columns.of_pod(p)) for p in fixed)))
            if key not in known:
                known[key] = self._columns.free(node, fixed)
            free.append(known[key])
            r = node.allocatable
            room.append((max(r.cpu_millicores, 1), max(r.memory_bytes // 1024, 1)))
            allowed.append(self._permits(node))
            is_spot = node.capacity_type is CapacityType.SPOT
            wanted.append(allowed[-1] & ~self._refuses if is_spot else allowed[-1])
        return Hosts(
            np.array(free, dtype=np.int64).reshape(len(free), self.requests.shape[1]),
            np.array(room, dtype=np.int64).reshape(len(room), 2),
            np.array(allowed, dtype=np.bool_).reshape(len(allowed), len(self.classes)),
            np.array(wanted, dtype=np.bool_).reshape(len(allowed), len(self.classes)),
        )

    def restart(self, hosts: Hosts, *, most: int) -> Returned:
        """Play every order; end at the first that leaves more than `most` pods."""
        worst, waiting_then = -1, np.zeros(len(self.classes), dtype=np.int64)
        counts = np.zeros(hosts.allowed.shape, dtype=np.int64)
        for draw, order in enumerate(self._orders):
            counts = np.zeros(hosts.allowed.shape, dtype=np.int64)
            waiting = np.zeros(len(self.classes), dtype=np.int64)
            ties = np.arange(len(hosts.room), dtype=np.int64)
            if draw % 2:
                ties = ties[::-1].copy()
            left = leftover(
                self.requests,
                self._per_node,
                order,
                hosts.free.copy(),
                hosts.room,
                hosts.allowed if draw else hosts.wanted,
                ties,
                most,
                counts,
                waiting,
            )
            if left > worst:
                worst, waiting_then = left, waiting
            if worst > most:
                break
        return Returned(max(worst, 0), waiting_then, counts)

    def hopeless(self, hosts: Hosts) -> int:
        """Count the pods that none of these nodes would take even by itself."""
        lost = 0
        for at, pods in enumerate(self.classes):
            takes = hosts.allowed[:, at] & (hosts.free >= self.requests[at]).all(axis=1)
            lost += 0 if takes.any() else len(pods)
        return lost

    def _permits(self, node: Node) -> Bools:
        labels = tuple(node.labels.get(k) for k in self._label_keys)
        key = (labels, node.taints, node.name if self._reads_names else None)
        if key not in self._permitted:
            self._permitted[key] = np.array(
                [not _reasons(c[0], node, self._claims) for c in self.classes], dtype=np.bool_
            )
        return self._permitted[key]


def canonical(nodes: Iterable[StandingNode]) -> list[StandingNode]:
    """Order nodes by what they are; names, which change when a node is replaced by its like, count last."""

    def what(n: StandingNode) -> tuple[object, ...]:
        pool: PoolKey | None = n.offer.pool if n.offer else None
        r = n.node.allocatable
        return (str(pool), r.cpu_millicores, r.memory_bytes, n.node.name)

    return sorted(nodes, key=what)


def _likeness(pod: Pod, columns: Columns) -> Hashable:
    return (
        tuple(columns.of_pod(pod)),
        tuple(sorted(pod.node_selector.items())),
        pod.node_affinity,
        pod.tolerations,
        (pod.namespace, pod.claims) if pod.claims else None,
        (pod.namespace, pod.owner) if _most_per_node(pod) < UNLIMITED else None,
    )


def _most_per_node(pod: Pod) -> int:
    """Give how many of its kind a node may hold; a spread lets more on a node where all hold more."""
    return min((x.at_most for x in node_limits(pod) if not _is_spread(x)), default=UNLIMITED)


def _is_spread(limit: NodeLimit) -> bool:
    return isinstance(limit.key, tuple) and limit.key[0] == "spread"


def _reasons(pod: Pod, node: Node, claims: Mapping[str, Volume] | None) -> bool:
    if static_reasons(pod, node):
        return True
    return claims is not None and bool(volumes.reasons(volumes.claim_keys(pod), node, claims))


def _label_keys(samples: Iterable[Pod], claims: Mapping[str, Volume] | None) -> tuple[str, ...]:
    terms = [t for p in samples for t in p.node_affinity]
    if claims:
        terms += [t for v in claims.values() for t in v.node_affinity]
    keys = {k for p in samples for k in p.node_selector} | {r.key for t in terms for r in t.labels}
    return tuple(sorted(keys))
