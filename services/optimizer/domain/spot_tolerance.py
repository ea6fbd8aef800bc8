"""Which pods may run where EC2 can take the machine back within two minutes, and who says so.

What keeps a pod off spot wins over what lets it run there, and what somebody stated wins over what is inferred:
first the policy's strategy, then what its node selector, its annotations or the policy's list refuse, then the
on-demand floor and the limit per spot pool, then what is stated in favour; only then what the pod looks like.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from services.optimizer.domain import losses, on_demand_replicas
from services.optimizer.domain.losses import WorkloadKey
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Owner, Pod, SpotWish

CAPACITY_LABEL = "karpenter.sh/capacity-type"
NO_WISH = SpotWish()


class Source(StrEnum):
    """Who decided."""

    POLICY = "policy"
    STATED = "stated"
    """The pod or its workload, by annotation or node selector."""
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pod may run on spot, and why."""

    may_use_spot: bool
    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class SpotJudge:
    """Knows how many pods each controller has, what budgets allow, and what was stated."""

    rules: PlanRules
    replicas: Mapping[WorkloadKey, int]
    pinned: frozenset[str] = frozenset()
    """Keys of pods whose budget can never allow a disruption."""
    can_lose: Mapping[WorkloadKey, int] = field(default_factory=dict)
    """Of workloads that a budget covers: how many replicas may be missing at once."""
    wishes: Mapping[WorkloadKey, SpotWish] = field(default_factory=dict)
    """What the annotations of workloads say."""
    floors: Mapping[WorkloadKey, int] = field(default_factory=dict)
    """How many replicas of a workload are to stay on on-demand."""
    floored: Mapping[str, str] = field(default_factory=dict)
    """By key of a pod that makes up its workload's on-demand floor: the floor in words."""
    # One plan asks about each pod dozens of times.
    _verdicts: dict[str, Verdict] = field(init=False, default_factory=dict, compare=False, repr=False)
    _pool_limits: dict[str, int | None] = field(init=False, default_factory=dict, compare=False, repr=False)
    costs: dict[str, int] = field(init=False, default_factory=dict, compare=False, repr=False)
    """By pod, in micro-dollars: what one interruption of it is worth to its workload (interruption_cost)."""

    @property
    def strategy(self) -> Strategy:
        """Give which capacity types new nodes may have."""
        return self.rules.strategy

    def refusal(self, pod: Pod) -> str | None:
        """Say why the pod must not run on spot, None when it may."""
        verdict = self.verdict(pod)
        return None if verdict.may_use_spot else verdict.reason

    def verdict(self, pod: Pod) -> Verdict:
        """Say whether the pod may run on spot, who decided that, and why; asked about one cluster only."""
        found = self._verdicts.get(pod.key)
        if found is None:
            found = self._verdicts[pod.key] = self._judged(pod)
        return found

    def _judged(self, pod: Pod) -> Verdict:
        why = self._forbidden(pod) or self._kept_off(pod)
        if why is not None:
            return why
        in_favour = self._stated(pod)
        if in_favour is not None:
            return in_favour
        doubt = self._doubt(pod)
        if doubt is not None:
            return _no(Source.INFERRED, doubt)
        if self.strategy is Strategy.SPOT:
            return _yes(Source.POLICY, "the policy allows spot only")
        return _yes(Source.INFERRED, "a controller keeps several replicas of it without local volumes")

    def pool_limit(self, pod: Pod) -> int | None:
        """Give how many replicas of the pod's workload one spot pool may hold; None: any number.

        A workload of one replica has nothing to spread. Where spot is not a matter of choice (the policy allows
        nothing else, or somebody stated it, or a Job is merely to finish), the share rounds down to one at least.
        """
        key = pod.key
        if key not in self._pool_limits:
            self._pool_limits[key] = self._pool_limit(pod)
        return self._pool_limits[key]

    def _pool_limit(self, pod: Pod) -> int | None:
        if pod.owner is None or self.count(pod) < 2:
            return None
        limit = self._limit(pod, pod.owner)
        return max(limit, 1) if self.strategy is Strategy.SPOT else limit

    def count(self, pod: Pod) -> int:
        """Count the replicas of the pod's controller; a bare pod is alone."""
        return 1 if pod.owner is None else self.replicas.get((pod.namespace, pod.owner), 1)

    def wish(self, pod: Pod) -> SpotWish:
        """Give what the annotations of the pod's workload say."""
        return NO_WISH if pod.owner is None else self.wishes.get((pod.namespace, pod.owner), NO_WISH)

    def _forbidden(self, pod: Pod) -> Verdict | None:
        if self.strategy is Strategy.ON_DEMAND:
            return _no(Source.POLICY, "the policy allows on-demand only")
        if asks_for_on_demand(pod):
            return _no(Source.STATED, "its node selector asks for on-demand")
        if pod.spot_wish.allowed is False:
            return _no(Source.STATED, "its annotation keeps it off spot")
        if self.wish(pod).allowed is False:
            return _no(Source.STATED, "its workload's annotation keeps it off spot")
        if is_named(pod, self.rules.on_demand_workloads):
            return _no(Source.POLICY, "the policy keeps its workload off spot")
        return None

    def _kept_off(self, pod: Pod) -> Verdict | None:
        if self.strategy is not Strategy.SPOT and pod.key in self.floored:
            return _no(Source.STATED, self.floored[pod.key])
        if pod.key in self.pinned:
            return _no(Source.INFERRED, "its disruption budget allows no disruption")
        if self.strategy is Strategy.SPOT or pod.owner is None or self.count(pod) < 2:
            return None
        if self._limit(pod, pod.owner) > 0:
            return None
        replicas = self.count(pod)
        if self.can_lose.get((pod.namespace, pod.owner)) == 0:
            why = f"its disruption budget lets none of its {replicas} replicas be lost with a spot pool"
            return _no(Source.INFERRED, why)
        share = f"{self.rules.max_pool_share_ratio:.4g}"
        why = f"a spot pool may hold {share} of its {replicas} replicas, which is less than one"
        return _no(Source.POLICY, why)

    def _limit(self, pod: Pod, owner: Owner) -> int:
        return losses.pool_limit(
            replicas=self.count(pod),
            share_ratio=self.rules.max_pool_share_ratio,
            can_lose=self.can_lose.get((pod.namespace, owner)),
            least_share=1 if owner.kind == "Job" or self._stated(pod) is not None else 0,
        )

    def _stated(self, pod: Pod) -> Verdict | None:
        if pod.spot_wish.allowed:
            return _yes(Source.STATED, "its annotation allows spot")
        if self.wish(pod).allowed:
            return _yes(Source.STATED, "its workload's annotation allows spot")
        if is_named(pod, self.rules.spot_workloads):
            return _yes(Source.POLICY, "the policy allows spot for its workload")
        return None

    def _doubt(self, pod: Pod) -> str | None:
        if pod.do_not_disrupt:
            return "it is marked do-not-disrupt"
        if pod.owner is None:
            return "nothing would make the pod again"
        if self.strategy is Strategy.HYBRID and pod.has_local_storage:
            return "it keeps data on its node"
        if self.strategy is Strategy.HYBRID and self.count(pod) < 2 and pod.owner.kind != "Job":
            return "it is the only replica"
        return None


def _yes(source: Source, reason: str) -> Verdict:
    return Verdict(may_use_spot=True, source=source, reason=reason)


def _no(source: Source, reason: str) -> Verdict:
    return Verdict(may_use_spot=False, source=source, reason=reason)


def asks_for_on_demand(pod: Pod) -> bool:
    """Whether the pod says itself how its node must be bought: then that counts, whatever the policy prefers."""
    return pod.node_selector.get(CAPACITY_LABEL) == CapacityType.ON_DEMAND.value


def is_named(pod: Pod, patterns: Iterable[str]) -> bool:
    """Whether a policy's list names the pod's workload, or the pod itself when it has none."""
    name = f"{pod.namespace}/{pod.owner.name if pod.owner else pod.name}"
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def spot_judge(objects: ClusterObjects, rules: PlanRules) -> SpotJudge:
    """Count what the cluster shows; a controller's wish counts when it is larger than what runs."""
    replicas: dict[WorkloadKey, int] = {}
    counted = [
        p
        for p in objects.pods
        if p.owner is not None and not (p.is_finished or p.is_terminating or p.is_daemon)
    ]
    for pod in counted:
        if pod.owner is not None:
            key = (pod.namespace, pod.owner)
            replicas[key] = replicas.get(key, 0) + 1
    wishes: dict[WorkloadKey, SpotWish] = {}
    for workload in objects.workloads:
        key = (workload.namespace, Owner(workload.kind, workload.name))
        if workload.replicas is not None and key in replicas:
            replicas[key] = max(replicas[key], workload.replicas)
        if workload.spot_wish != NO_WISH:
            wishes[key] = workload.spot_wish
    judge = SpotJudge(
        rules, replicas, _pinned(objects), losses.losable(objects.budgets, counted, replicas), wishes
    )
    floors = on_demand_replicas.floors(counted, wishes, rules)
    chosen = on_demand_replicas.chosen(counted, objects.nodes, floors)
    return replace(judge, floors=floors, floored=chosen)


def _pinned(objects: ClusterObjects) -> frozenset[str]:
    """Give the keys of the pods under a budget that can let none of them go."""
    guards = losses.Guards(objects.budgets)
    frozen = losses.frozen(guards, objects.pods)
    if not frozen:
        return frozenset()
    return frozenset(p.key for p in objects.pods if not frozen.isdisjoint(guards.over(p)))
