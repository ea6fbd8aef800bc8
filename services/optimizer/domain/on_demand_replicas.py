"""Replicas that stay on on-demand: "at least two of shop/web", stated by annotation or policy.

Nothing tells kube-scheduler which replicas these are, and any will do: those that stand on on-demand nodes
already come first, so that no pod moves for the sake of a name.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from services.optimizer.domain.losses import WorkloadKey
from services.optimizer.domain.rules import PlanRules
from shared.kernel.pools import CapacityType
from shared.kernel.workload import Node, Pod, SpotWish


def floors(
    pods: Iterable[Pod], wishes: Mapping[WorkloadKey, SpotWish], rules: PlanRules
) -> dict[WorkloadKey, int]:
    """Give how many replicas of each workload must stay on on-demand; the largest number stated counts."""
    found: dict[WorkloadKey, int] = {}
    for pod in pods:
        if pod.owner is None:
            continue
        key = (pod.namespace, pod.owner)
        if key not in found:
            wish = wishes.get(key)
            own = (wish.on_demand_min_replicas if wish else None) or 0
            name = f"{pod.namespace}/{pod.owner.name}"
            listed = (f.replicas for f in rules.on_demand_floors if fnmatchcase(name, f.workload))
            found[key] = max(own, max(listed, default=0))
        found[key] = max(found[key], pod.spot_wish.on_demand_min_replicas or 0)
    return {key: least for key, least in found.items() if least > 0}


def chosen(pods: Iterable[Pod], nodes: Iterable[Node], least: Mapping[WorkloadKey, int]) -> dict[str, str]:
    """Choose the pods that make up each floor; give the floor in words, by key of the pod."""
    if not least:
        return {}
    spot = {n.name for n in nodes if n.capacity_type is CapacityType.SPOT}
    by_workload: dict[WorkloadKey, list[Pod]] = {}
    for pod in pods:
        if pod.owner is not None and (pod.namespace, pod.owner) in least:
            by_workload.setdefault((pod.namespace, pod.owner), []).append(pod)
    found: dict[str, str] = {}
    for key, replicas in by_workload.items():
        # On on-demand, then on no node yet, then on spot.
        replicas.sort(key=lambda p: (p.node_name in spot, p.node_name is None, p.key))
        number = min(least[key], len(replicas))
        words = f"{number} of its {len(replicas)} replicas are to stay on on-demand"
        found |= {pod.key: words for pod in replicas[:number]}
    return found


def counts(
    on: Iterable[tuple[Node, Iterable[Pod]]], least: Mapping[WorkloadKey, int]
) -> dict[WorkloadKey, int]:
    """Count the replicas on on-demand of each workload that has a floor; no label counts as on-demand."""
    found = dict.fromkeys(least, 0)
    for node, pods in on:
        if node.capacity_type is CapacityType.SPOT:
            continue
        for pod in pods:
            if pod.owner is not None and (pod.namespace, pod.owner) in found:
                found[pod.namespace, pod.owner] += 1
    return found
