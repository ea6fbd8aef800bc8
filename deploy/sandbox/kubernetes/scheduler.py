"""A kube-scheduler in small, written apart from the product's own rules: it judges what they planned.

Filters are the real scheduler's; the score is its default, the least allocated node.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deploy.sandbox.kubernetes import asked as asking
from deploy.sandbox.kubernetes.asked import Asked, Neighbours, Spread
from deploy.sandbox.kubernetes.index import TERMINAL
from deploy.sandbox.kubernetes.kinds import NODE, POD, Object
from deploy.sandbox.kubernetes.nodetable import Mask, NodeTable
from deploy.sandbox.kubernetes.store import Change, Key, Store, key_of
from deploy.sandbox.kubernetes.timing import Timeline
from deploy.sandbox.kubernetes.volumes import Volumes

_PODS_PER_TURN = 50


class UnschedulableError(Exception):
    """No node takes the pod; the message says why, as kube-scheduler words it."""


def choose(table: NodeTable, asked: Asked, extra: Mask | None = None) -> str:
    """Return the best node for a pod.

    Raises:
        UnschedulableError: none takes it.
    """
    table.refresh()
    size = len(table.names)
    refused: Counter[str] = Counter()
    left: Mask = np.ones(size, dtype=np.bool_)

    def keep(mask: Mask, reason: str) -> None:
        nonlocal left
        lost = int((left & ~mask).sum())
        if lost:
            refused[reason] += lost
        left = left & mask

    keep(
        table.eligible(asked), "node(s) didn't match Pod's node affinity/selector or had untolerated taint(s)"
    )
    if extra is not None:
        keep(extra, "node(s) had volume node affinity conflict")
    row = table.wanted(asked)
    if row is None:
        keep(np.zeros(size, dtype=np.bool_), "Insufficient extended resources")
    else:
        room = (table.used + row <= table.total) | (row == 0)
        for column, resource in ((0, "cpu"), (1, "memory"), (3, "pods")):
            keep(room[:, column], "Too many pods" if resource == "pods" else f"Insufficient {resource}")
        keep(room.all(axis=1), "Insufficient extended resources")
    if asked.ports and left.any():
        keep(table.free_of_ports(asked), "node(s) didn't have free ports for the requested pod ports")
    for rule in asked.spread:
        keep(_spread(table, asked, rule), "node(s) didn't match pod topology spread constraints")
    for neighbours in asked.near:
        keep(_near(table, asked, neighbours), "node(s) didn't match pod affinity rules")
    for neighbours in asked.apart:
        blocked = _in_domains_of(table, neighbours.topology_key, table.per_node(neighbours.term))
        keep(~blocked, "node(s) didn't match pod anti-affinity rules")
    for topology_key, holders in table.repellents(asked):
        blocked = _in_domains_of(table, topology_key, holders)
        keep(~blocked, "node(s) didn't satisfy existing pods anti-affinity rules")
    if row is None or not left.any():
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
        msg = f"0/{size} nodes are available: {reasons or 'no nodes'}."
        raise UnschedulableError(msg)
    return table.names[int(np.argmax(np.where(left, _least_allocated(table, row), -1.0)))]


def _least_allocated(table: NodeTable, row: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.maximum(table.total[:, :2], 1)
    free: NDArray[np.float64] = (total - table.used[:, :2] - row[:2]) / total
    score: NDArray[np.float64] = np.clip(free, 0.0, 1.0).mean(axis=1)
    return score


def _in_domains_of(table: NodeTable, topology_key: str, counts: NDArray[np.int64]) -> Mask:
    """Return the nodes that share a domain with a counted pod."""
    ids, number = table.domains(topology_key)
    has = ids >= 0
    occupied = np.bincount(ids[has], weights=counts[has], minlength=max(number, 1)) > 0
    result: Mask = has & occupied[np.maximum(ids, 0)]
    return result


def _near(table: NodeTable, asked: Asked, rule: Neighbours) -> Mask:
    counts = table.per_node(rule.term)
    if counts.sum() == 0 and table.counts_itself(rule.term, asked):
        # The first pod of a group that wants to be together may go anywhere.
        return table.domains(rule.topology_key)[0] >= 0
    return _in_domains_of(table, rule.topology_key, counts)


def _spread(table: NodeTable, asked: Asked, rule: Spread) -> Mask:
    ids, number = table.domains(rule.topology_key)
    # nodeAffinityPolicy Honor, nodeTaintsPolicy Ignore: a cordoned node still is a domain.
    counted = (ids >= 0) & table.matching_labels(asked)
    if not counted.any():
        return np.zeros(len(table.names), dtype=np.bool_)
    per_domain = np.bincount(ids[counted], weights=table.per_node(rule.term)[counted], minlength=number)
    known = np.bincount(ids[counted], minlength=number) > 0
    least = per_domain[known].min() if known.sum() >= rule.min_domains else 0
    allowed = known & (per_domain + int(rule.counts_itself) - least <= rule.max_skew)
    result: Mask = (ids >= 0) & allowed[np.maximum(ids, 0)]
    return result


class Scheduler:
    """Places pending pods; tries the unschedulable ones again when something was freed or changed."""

    def __init__(
        self,
        *,
        store: Store,
        timeline: Timeline,
        volumes: Volumes,
        place: Callable[[Object, str], Object],
    ) -> None:
        self.table = NodeTable()
        self._store = store
        self._timeline = timeline
        self._volumes = volumes
        self._place = place
        self._fresh: dict[Key, Asked] = {}
        self._waiting: dict[Key, Asked] = {}
        self._retry = False

    @property
    def idle(self) -> bool:
        """Whether nothing is left to try."""
        return not self._fresh and not (self._retry and self._waiting)

    def observe(self, change: Change) -> None:
        """Follow nodes and pods."""
        if change.kind is NODE:
            if change.type == "DELETED":
                self.table.drop_node(change.object["metadata"]["name"])
            elif self.table.set_node(change.object):
                self._retry = True
        elif change.kind is POD:
            self._observe_pod(change)
        elif change.kind.plural in {"persistentvolumeclaims", "persistentvolumes", "storageclasses"}:
            self._retry = True

    def _observe_pod(self, change: Change) -> None:
        pod, key = change.object, key_of(change.object)
        gone = change.type == "DELETED" or (pod.get("status") or {}).get("phase") in TERMINAL
        node = pod["spec"].get("nodeName")
        if gone or node:
            self._fresh.pop(key, None)
            self._waiting.pop(key, None)
        if gone:
            self._retry |= self.table.drop(key)
        elif node:
            if not self.table.counts(key):
                self.table.add(asking.read(pod), node)
            if change.type == "ADDED" or not (change.previous or {}).get("spec", {}).get("nodeName"):
                # A newly placed pod may be the neighbour that another one waits for.
                self._retry |= any(asked.near or asked.spread for asked in self._waiting.values())
        elif change.type == "ADDED":
            if pod["spec"].get("schedulerName", "default-scheduler") == "default-scheduler":
                self._fresh[key] = asking.read(pod)
        elif (change.previous or {}).get("spec") != pod["spec"] and key in self._waiting:
            self._fresh[key] = asking.read(pod)

    async def reconcile(self) -> None:
        """Try every pod that may have a place now."""
        if self._retry:
            self._fresh, self._waiting = {**self._waiting, **self._fresh}, {}
            self._retry = False
        queue = sorted(self._fresh.values(), key=lambda asked: -asked.priority)
        hopeless: dict[tuple[object, ...], str] = {}
        for turn, asked in enumerate(queue):
            if turn % _PODS_PER_TURN == _PODS_PER_TURN - 1:
                await asyncio.sleep(0)
            pod = self._store.find(POD, *asked.key)
            if self._fresh.pop(asked.key, None) is None or pod is None:
                continue
            if pod["spec"].get("schedulingGates"):
                self._waiting[asked.key] = asked
                continue
            shape = asked.shape
            if shape is None or shape not in hopeless:
                try:
                    self._schedule(pod, asked)
                    continue
                except UnschedulableError as reason:
                    if shape is not None:
                        hopeless[shape] = str(reason)
                    message = str(reason)
            else:
                message = hopeless[shape]
            self._waiting[asked.key] = asked
            self._explain(pod, message)

    def _schedule(self, pod: Object, asked: Asked) -> None:
        extra: Mask | None = None
        if asked.claims:
            self.table.refresh()
            test = self._volumes.node_test(asked)
            nodes = (self.table.node(name) for name in self.table.names)
            extra = np.array([node is not None and test(node) for node in nodes], dtype=np.bool_)
        name = choose(self.table, asked, extra)
        node = self.table.node(name)
        if asked.claims and node is not None:
            self._volumes.bind(asked, node)
        self._place(pod, name)

    def _explain(self, pod: Object, message: str) -> None:
        conditions = pod["status"].get("conditions") or []
        if any(c["type"] == "PodScheduled" for c in conditions):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": self._timeline.stamp(),
        }
        self._store.set_status(POD, pod, conditions=[*conditions, condition])
