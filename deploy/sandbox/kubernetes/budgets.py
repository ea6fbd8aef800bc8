"""PodDisruptionBudgets: how many pods may go now, by the rules of the real disruption controller."""

import math
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.kubernetes.errors import ApiError
from deploy.sandbox.kubernetes.index import TERMINAL, Index, controller_of, is_healthy
from deploy.sandbox.kubernetes.journal import Journal, Violation
from deploy.sandbox.kubernetes.kinds import BUDGET, BY_NAME, POD, Object
from deploy.sandbox.kubernetes.selectors import LabelTest, selector
from deploy.sandbox.kubernetes.store import Change, Key, Store, key_of
from deploy.sandbox.kubernetes.timing import Timeline


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The four numbers of a budget's status."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        """How many pods may be disrupted now."""
        return max(self.healthy - self.desired, 0) if self.expected > 0 else 0


def _share(value: Any, total: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(total * int(value[:-1]) / 100)
    return int(value)


def _replicas(workload: Object | None) -> int | None:
    return workload["spec"].get("replicas") if workload is not None else None


class Budgets:
    """Judges evictions, records violations, keeps statuses current."""

    def __init__(self, *, store: Store, index: Index, journal: Journal, timeline: Timeline) -> None:
        self._store = store
        self._index = index
        self._journal = journal
        self._timeline = timeline
        self._selectors: dict[Key, LabelTest] = {}
        self._members: dict[Key, dict[Key, Object]] = {}
        self._dirty: set[Key] = set()

    def observe(self, change: Change) -> None:
        """Keep every budget's pods, and remember which statuses may be old."""
        key = key_of(change.object)
        if change.kind is BUDGET:
            self._observe_budget(change, key)
        elif change.kind is POD:
            for budget, test in self._selectors.items():
                if budget[0] != key[0]:
                    continue
                present = change.type != "DELETED" and test(change.object["metadata"].get("labels") or {})
                if present:
                    self._members[budget][key] = change.object
                if present or self._members[budget].pop(key, None) is not None:
                    self._dirty.add(budget)
        elif change.kind.has_scale and _replicas(change.previous) != _replicas(change.object):
            self._dirty |= {budget for budget in self._selectors if budget[0] == key[0]}

    def _observe_budget(self, change: Change, key: Key) -> None:
        if change.type == "DELETED":
            self._selectors.pop(key, None)
            self._members.pop(key, None)
            self._dirty.discard(key)
            return
        if change.previous is not None and change.previous["spec"] == change.object["spec"]:
            return
        test = selector(change.object["spec"].get("selector"))
        self._selectors[key] = test
        self._members[key] = {
            pod_key: pod
            for pod_key, pod in self._index.by_namespace.get(key[0], {}).items()
            if test(pod["metadata"].get("labels") or {})
        }
        self._dirty.add(key)

    def matching(self, pod: Object) -> list[Object]:
        """Return the budgets that speak of a pod."""
        key = key_of(pod)
        keys = [budget for budget, members in self._members.items() if key in members]
        return [self._store.get(BUDGET, *budget) for budget in keys]

    def state(self, budget: Object) -> BudgetState:
        """Count a budget's pods as they are now."""
        members = self._members.get(key_of(budget), {}).values()
        pods = [pod for pod in members if (pod.get("status") or {}).get("phase") not in TERMINAL]
        healthy = sum(1 for pod in pods if is_healthy(pod))
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            expected = self._scale_of(pods)
            return BudgetState(expected, max(expected - _share(spec["maxUnavailable"], expected), 0), healthy)
        minimum = spec.get("minAvailable", 1)
        expected = self._scale_of(pods) if isinstance(minimum, str) else len(pods)
        return BudgetState(expected, _share(minimum, expected), healthy)

    def check_eviction(self, pod: Object) -> None:
        """Refuse an eviction that a budget does not allow.

        Raises:
            ApiError: 429, or 500 when several budgets match.
        """
        status = pod.get("status") or {}
        is_placed = bool(pod["spec"].get("nodeName")) and status.get("phase") == "Running"
        if not is_placed or pod["metadata"].get("deletionTimestamp"):
            return
        budgets = self.matching(pod)
        if len(budgets) > 1:
            msg = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise ApiError(500, "InternalError", msg)
        for budget in budgets:
            state = self.state(budget)
            if not is_healthy(pod):
                always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
                if always or state.healthy >= state.desired > 0:
                    continue
            if state.allowed < 1:
                self._journal.evictions_refused += 1
                raise self._refusal(budget, state)

    def record_loss(self, lost: list[Object], *, cause: str) -> None:
        """Record every budget that losing these pods by somebody's action breaks; call it before they go."""
        losses: dict[Key, tuple[Object, int]] = {}
        for pod in lost:
            if is_healthy(pod):
                for budget in self.matching(pod):
                    key = key_of(budget)
                    losses[key] = (budget, losses.get(key, (budget, 0))[1] + 1)
        for (namespace, name), (budget, count) in losses.items():
            state = self.state(budget)
            left = state.healthy - count
            if left < state.desired:
                self._journal.violations.append(
                    Violation(self._timeline.now(), f"{namespace}/{name}", left, state.desired, cause)
                )

    def reconcile(self) -> None:
        """Write the statuses that changed."""
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            budget = self._store.find(BUDGET, *key)
            if budget is None:
                continue
            state = self.state(budget)
            self._store.set_status(
                BUDGET,
                budget,
                observedGeneration=budget["metadata"].get("generation", 1),
                disruptionsAllowed=state.allowed,
                currentHealthy=state.healthy,
                desiredHealthy=state.desired,
                expectedPods=state.expected,
            )

    def _scale_of(self, pods: list[Object]) -> int:
        scales: dict[str, int] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None or reference["uid"] in scales:
                continue
            owner = self._owner(pod, reference)
            above = controller_of(owner) if owner else None
            if owner and above:
                owner = self._owner(owner, above) or owner
            if owner:
                scales[owner["metadata"]["uid"]] = int(owner.get("spec", {}).get("replicas", 1))
        return sum(scales.values())

    def _owner(self, child: Object, reference: Object) -> Object | None:
        kind = BY_NAME.get((reference["apiVersion"], reference["kind"]))
        if kind is None:
            return None
        return self._store.find(kind, child["metadata"].get("namespace") or "", reference["name"])

    @staticmethod
    def _refusal(budget: Object, state: BudgetState) -> ApiError:
        name = budget["metadata"]["name"]
        message = f"The disruption budget {name} needs {state.desired} healthy pods and has {state.healthy} currently"
        return ApiError(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            details={"causes": [{"reason": "DisruptionBudget", "message": message}]},
        )
