"""Nodes as arrays, so that one pod is compared with every node at once."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.sandbox.kubernetes.asked import (
    NAME_FIELD,
    Asked,
    PodTerm,
    admits,
    compile_term,
    matches,
    node_test,
)
from deploy.sandbox.kubernetes.kinds import Object
from deploy.sandbox.kubernetes.podspec import HostPort, amounts
from deploy.sandbox.kubernetes.selectors import LabelTest
from deploy.sandbox.kubernetes.store import Key

Mask = NDArray[np.bool_]
_COLUMNS = ("cpu", "memory", "ephemeral-storage", "pods")


class NodeTable:
    """What nodes offer, what pods on them use, and where counted pods are."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.total: NDArray[np.int64] = np.zeros((0, len(_COLUMNS)), dtype=np.int64)
        self.used: NDArray[np.int64] = np.zeros((0, len(_COLUMNS)), dtype=np.int64)
        self._nodes: dict[str, Object] = {}
        self._stale = True
        self._row: dict[str, int] = {}
        self._column: dict[str, int] = {}
        self._placed: dict[Key, tuple[Asked, str]] = {}
        self._asked_on: dict[str, Counter[str]] = defaultdict(Counter)
        self._ports: dict[str, Counter[HostPort]] = defaultdict(Counter)
        self._tests: dict[PodTerm, LabelTest] = {}
        self._where: dict[PodTerm, Counter[str]] = {}
        self._repelling: dict[tuple[PodTerm, str], Counter[str]] = defaultdict(Counter)
        self._eligible: dict[str, Mask] = {}
        self._domains: dict[str, tuple[NDArray[np.int64], int]] = {}

    def set_node(self, node: Object) -> bool:
        """Take a node's new state; return whether it matters for scheduling."""
        name = node["metadata"]["name"]
        old = self._nodes.get(name)
        self._nodes[name] = node
        if old is not None and _scheduling_view(old) == _scheduling_view(node):
            return False
        self._stale = True
        return True

    def drop_node(self, name: str) -> None:
        """Forget a node."""
        if self._nodes.pop(name, None) is not None:
            self._stale = True

    def node(self, name: str) -> Object | None:
        """Return a node's last state."""
        return self._nodes.get(name)

    def counts(self, key: Key) -> bool:
        """Whether a pod is counted already."""
        return key in self._placed

    def add(self, asked: Asked, node: str) -> None:
        """Count a pod on a node."""
        self._placed[asked.key] = (asked, node)
        self._account(asked, node, 1)

    def drop(self, key: Key) -> bool:
        """Stop counting a pod; return whether it was counted."""
        placed = self._placed.pop(key, None)
        if placed is not None:
            self._account(*placed, -1)
        return placed is not None

    def refresh(self) -> None:
        """Rebuild the arrays after nodes changed."""
        if not self._stale:
            return
        self._stale = False
        self.names = list(self._nodes)
        self._row = {name: row for row, name in enumerate(self.names)}
        totals = [amounts((n.get("status") or {}).get("allocatable")) for n in self._nodes.values()]
        names = dict.fromkeys((*_COLUMNS, *(name for total in totals for name in total)))
        self._column = {name: column for column, name in enumerate(names)}
        shape = (len(self.names), len(names))
        self.total, self.used = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, (name, total) in enumerate(zip(self.names, totals, strict=True)):
            self.total[row] = [total[resource] for resource in names]
            self.used[row] = [self._asked_on[name][resource] for resource in names]
        self._eligible.clear()
        self._domains.clear()

    def eligible(self, asked: Asked) -> Mask:
        """Return the nodes whose labels and taints admit a pod."""
        mask = self._eligible.get(asked.eligibility)
        if mask is None:
            rule = json.loads(asked.eligibility)
            test = node_test(rule["affinity"], rule["selector"])
            mask = np.array(
                [
                    test(labels_of(node)) and admits(node, rule["tolerations"])
                    for node in self._nodes.values()
                ],
                dtype=np.bool_,
            )
            self._eligible[asked.eligibility] = mask
        return mask

    def matching_labels(self, asked: Asked) -> Mask:
        """Return the nodes whose labels admit a pod, whatever their taints."""
        name = f"labels only: {asked.eligibility}"
        if name not in self._eligible:
            rule = json.loads(asked.eligibility)
            test = node_test(rule["affinity"], rule["selector"])
            found = [test(labels_of(node)) for node in self._nodes.values()]
            self._eligible[name] = np.array(found, dtype=np.bool_)
        return self._eligible[name]

    def wanted(self, asked: Asked) -> NDArray[np.int64] | None:
        """Return a pod's requests as a row; none when no node has the resource at all."""
        row = np.zeros(len(self._column), dtype=np.int64)
        for name, amount in asked.requests.items():
            if amount > 0:
                if name not in self._column:
                    return None
                row[self._column[name]] = amount
        return row

    def free_of_ports(self, asked: Asked) -> Mask:
        """Return the nodes where a pod's host ports are free."""
        return np.array(
            [
                not any(taken.clashes(port) for taken in +self._ports[name] for port in asked.ports)
                for name in self.names
            ],
            dtype=np.bool_,
        )

    def per_node(self, term: PodTerm) -> NDArray[np.int64]:
        """Return how many pods a rule counts on each node."""
        return self._row_counts(self._count(term))

    def repellents(self, asked: Asked) -> list[tuple[str, NDArray[np.int64]]]:
        """Return where pods sit whose anti-affinity forbids this one, by topology key."""
        return [
            (topology_key, self._row_counts(holders))
            for (term, topology_key), holders in self._repelling.items()
            if matches(term, self._test(term), asked.key[0], asked.labels)
        ]

    def counts_itself(self, term: PodTerm, asked: Asked) -> bool:
        """Whether a rule counts the pod itself."""
        return matches(term, self._test(term), asked.key[0], asked.labels)

    def domains(self, topology_key: str) -> tuple[NDArray[np.int64], int]:
        """Number each node's domain (-1: it has none), and say how many there are."""
        if topology_key not in self._domains:
            numbers: dict[str, int] = {}
            ids = np.full(len(self.names), -1, dtype=np.int64)
            for row, node in enumerate(self._nodes.values()):
                value = (node["metadata"].get("labels") or {}).get(topology_key)
                if value is not None:
                    ids[row] = numbers.setdefault(value, len(numbers))
            self._domains[topology_key] = (ids, len(numbers))
        return self._domains[topology_key]

    def _account(self, asked: Asked, node: str, sign: int) -> None:
        change = Counter({name: sign * amount for name, amount in asked.requests.items()})
        self._asked_on[node].update(change)
        self._ports[node].update(dict.fromkeys(asked.ports, sign))
        if not self._stale and node in self._row:
            for name, amount in change.items():
                if name in self._column:
                    self.used[self._row[node], self._column[name]] += amount
        for term, where in self._where.items():
            if matches(term, self._test(term), asked.key[0], asked.labels):
                where[node] += sign
        for rule in asked.apart:
            self._repelling[rule.term, rule.topology_key][node] += sign

    def _count(self, term: PodTerm) -> Counter[str]:
        if term not in self._where:
            test = self._test(term)
            self._where[term] = Counter(
                node
                for asked, node in self._placed.values()
                if matches(term, test, asked.key[0], asked.labels)
            )
        return self._where[term]

    def _test(self, term: PodTerm) -> LabelTest:
        if term not in self._tests:
            self._tests[term] = compile_term(term)
        return self._tests[term]

    def _row_counts(self, where: Counter[str]) -> NDArray[np.int64]:
        counts = np.zeros(len(self.names), dtype=np.int64)
        for name, count in where.items():
            if name in self._row:
                counts[self._row[name]] = count
        return counts


def labels_of(node: Object) -> Mapping[str, str]:
    """Return a node's labels with its name, which matchFields asks for."""
    return {**(node["metadata"].get("labels") or {}), NAME_FIELD: node["metadata"]["name"]}


def _scheduling_view(node: Object) -> tuple[object, ...]:
    spec = node["spec"]
    return (
        node["metadata"].get("labels"),
        spec.get("taints"),
        bool(spec.get("unschedulable")),
        (node.get("status") or {}).get("allocatable"),
    )
