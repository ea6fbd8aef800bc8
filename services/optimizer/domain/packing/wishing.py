"""What the preferences of each class cost on each node, worked out once for nodes that are alike to them."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from services.optimizer.domain import preferences
from services.optimizer.domain.packing.classes import Ints, PodClass
from services.optimizer.domain.rules import PlanRules
from shared.kernel.workload import Node


class Wishes:
    """Preferences of some classes under one set of rules."""

    def __init__(self, classes: Sequence[PodClass], rules: PlanRules) -> None:
        self._samples = [c.sample for c in classes]
        self._rules = rules
        terms = [item.term for p in self._samples for item in p.preferred_nodes]
        self._keys = sorted({r.key for t in terms for r in t.labels})
        self._reads_names = any(t.fields for t in terms)
        self._has_any = bool(terms)
        self._known: dict[Hashable, Ints] = {}

    def on(self, nodes: Iterable[Node]) -> Ints:
        """Give what a pod of each class (column) costs on each node (row), in micro-dollars an hour.

        Empty where no pod minds where it is.
        """
        some = list(nodes)
        costs_nothing = self._rules.usd_per_unmet_preference_hour == 0
        if costs_nothing or not (self._has_any or any(map(preferences.is_unwelcoming, some))):
            return np.zeros((0, 0), dtype=np.int64)
        return np.array([self._of(n) for n in some], dtype=np.int64).reshape(len(some), len(self._samples))

    def _of(self, node: Node) -> Ints:
        labels = tuple(node.labels.get(k) for k in self._keys)
        key = (labels, node.taints, node.name if self._reads_names else "")
        if key not in self._known:
            self._known[key] = np.array(
                [preferences.pod_micro_usd(p, node, self._rules) for p in self._samples], dtype=np.int64
            )
        return self._known[key]
