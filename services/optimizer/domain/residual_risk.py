"""What can still go wrong with a fleet: the loss of one spot pool, and workloads that are on spot against advice."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.optimizer.domain.diversification import breaches, pool_name
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.losses import Guards, minimum_available
from services.optimizer.domain.rules import Strategy
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.workload import DisruptionBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoss:
    """What would be gone if EC2 took back all nodes of one spot pool at once."""

    pool: str
    """spot:type:zone id"""
    nodes: int
    pods: int
    millicores: int
    vcpu_share_ratio: float
    """Of what all pods request."""
    below_minimum: tuple[str, ...]
    """Budgets (namespace/name) that would have fewer pods left than they want."""


@dataclass(frozen=True, slots=True, order=True)
class AtRisk:
    """A workload on spot that is not safe there."""

    workload: str
    """namespace/kind/name, or namespace/name of a bare pod."""
    reason: str


def worst_pool_loss(nodes: Iterable[StandingNode], budgets: Iterable[DisruptionBudget]) -> PoolLoss | None:
    """Give the loss that breaks most budgets, of these the largest; None when nothing is on spot."""
    guards = Guards(budgets)
    covered: Counter[int] = Counter()
    total = 0
    pools: dict[str, _Held] = {}
    for node in nodes:
        held = None
        if node.node.capacity_type is CapacityType.SPOT:
            held = pools.setdefault(pool_name(node.node), _Held())
            held.nodes += 1
        for pod in node.movable:
            total += pod.requests.cpu_millicores
            over = guards.over(pod)
            covered.update(over)
            if held is not None:
                held.pods += 1
                held.millicores += pod.requests.cpu_millicores
                held.covered.update(over)
    losses = [
        PoolLoss(
            pool=pool,
            nodes=held.nodes,
            pods=held.pods,
            millicores=held.millicores,
            vcpu_share_ratio=held.millicores / total if total else 0.0,
            below_minimum=_broken(guards, covered, held.covered),
        )
        for pool, held in pools.items()
    ]
    return max(losses, key=lambda x: (len(x.below_minimum), x.millicores, x.nodes, x.pool), default=None)


@dataclass(slots=True)
class _Held:
    nodes: int = 0
    pods: int = 0
    millicores: int = 0
    covered: Counter[int] = field(default_factory=Counter)
    """Pods by number of the budget over them."""


def _broken(guards: Guards, covered: Counter[int], lost: Counter[int]) -> tuple[str, ...]:
    return tuple(
        guards.budgets[number].key
        for number in sorted(lost)
        if covered[number] - lost[number] < minimum_available(guards.budgets[number], covered[number])
    )


def at_risk(nodes: Iterable[StandingNode], judge: SpotJudge) -> list[AtRisk]:
    """Give the workloads on spot nodes that a hybrid policy would keep off them, or that crowd one pool."""
    fleet = list(nodes)
    careful = judge
    if judge.strategy is Strategy.SPOT:
        careful = replace(judge, rules=replace(judge.rules, strategy=Strategy.HYBRID))
    found: dict[str, str] = {}
    for node in fleet:
        if node.node.capacity_type is not CapacityType.SPOT:
            continue
        for pod in node.movable:
            name = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}" if pod.owner else pod.key
            why = careful.refusal(pod)
            if why is not None:
                found.setdefault(name, why)
    for breach in breaches(fleet, judge):
        workload, is_workload, _ = breach.what.partition(" in ")
        if is_workload:
            found.setdefault(workload, breach.sentence.rstrip("."))
    return sorted(AtRisk(name, why) for name, why in found.items())
