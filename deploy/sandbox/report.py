"""What really happened, counted from the sandbox's own API and EC2 logs and nothing that the product says."""

from collections import Counter
from typing import Any

from deploy.sandbox.kubernetes.index import TERMINAL, is_ready
from deploy.sandbox.kubernetes.kinds import NODE, POD, REPLICA_SET, STATEFUL_SET, Object
from deploy.sandbox.kubernetes.lifecycle import Termination
from deploy.sandbox.kubernetes.nodes import is_node_ready
from deploy.sandbox.world import World

STEP_TAG = "spot-optimizer/step"


def state(world: World) -> dict[str, Any]:
    """Describe the cluster as it is now."""
    store = world.cluster.store
    nodes, pods = list(store.all(NODE)), _counted_pods(world)
    by_capacity = Counter(instance.capacity_type for instance in world.members())
    return {
        "nodes": len(nodes),
        "nodes_ready": sum(1 for node in nodes if is_node_ready(node)),
        "pods": len(pods),
        "pods_running": sum(1 for pod in pods if is_ready(pod)),
        "pods_pending": sum(1 for pod in pods if pod["status"].get("phase") == "Pending"),
        "usd_per_hour": world.usd_per_hour(),
        "instances": {"spot": by_capacity["spot"], "on-demand": by_capacity["on-demand"]},
    }


def report(world: World, marks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Count everything that the demo has to show."""
    journal, lifecycle = world.cluster.journal, world.cluster.lifecycle
    unexpected = [t for t in lifecycle.terminations if not t.injected and (t.pods or not t.cordoned)]
    handled = [instance_id for instance_id in lifecycle.interrupted if _is_handled(world, instance_id)]
    steps = Counter(i.tags[STEP_TAG] for i in world.aws.instances() if STEP_TAG in i.tags)
    agents = Counter(call.user_agent for call in journal.writes)
    return {
        **state(world),
        "pdb_violations": len(journal.violations),
        "violations": [
            {
                "at": v.at.isoformat(),
                "budget": v.budget,
                "healthy": v.healthy,
                "desired": v.desired,
                "cause": v.cause,
            }
            for v in journal.violations
        ],
        "unexpected_terminations": len(unexpected),
        "unexpected": [_described(termination) for termination in unexpected],
        "terminations": len(lifecycle.terminations),
        "interruptions_injected": len(lifecycle.interrupted),
        "interruptions_handled": len(handled),
        "evictions": journal.evictions,
        "evictions_refused": journal.evictions_refused,
        "kubernetes_writes": len(journal.writes),
        "kubernetes_writes_by_user_agent": dict(agents),
        "launches_by_step": dict(steps),
        "fleet": _fleet(world),
        "marks": marks,
    }


def _counted_pods(world: World) -> list[Object]:
    return [pod for pod in world.cluster.store.all(POD) if pod["status"].get("phase") not in TERMINAL]


def _described(termination: Termination) -> dict[str, Any]:
    return {
        "at": termination.at.isoformat(),
        "instance_id": termination.instance_id,
        "node": termination.node,
        "cordoned": termination.cordoned,
        "pods": list(termination.pods),
    }


def _is_handled(world: World, instance_id: str) -> bool:
    """Whether an announced loss hurt nobody: drained in time, or everything runs again elsewhere."""
    found = next((t for t in world.cluster.lifecycle.terminations if t.instance_id == instance_id), None)
    if found is None:
        return _is_drained(world, instance_id)
    if found.cordoned and not found.pods:
        return True
    return not found.bare_pods and all(_is_whole(world, uid) for uid in found.owners)


def _is_drained(world: World, instance_id: str) -> bool:
    for node in world.cluster.store.all(NODE):
        if node["spec"].get("providerID", "").endswith(f"/{instance_id}"):
            name = node["metadata"]["name"]
            return bool(node["spec"].get("unschedulable")) and not world.cluster.index.workload_pods(name)
    return False


def _is_whole(world: World, owner_uid: str) -> bool:
    """Whether a workload has all the replicas it wants; one that is gone wants none."""
    for kind in (REPLICA_SET, STATEFUL_SET):
        for owner in world.cluster.store.all(kind):
            if owner["metadata"]["uid"] == owner_uid:
                ready = (owner.get("status") or {}).get("readyReplicas", 0)
                return bool(ready >= owner["spec"].get("replicas", 1))
    return True


def _fleet(world: World) -> list[dict[str, Any]]:
    fleet = []
    for instance in world.members():
        node = world.cluster.lifecycle.node_of(instance)
        fleet.append(
            {
                "instance_id": instance.id,
                "node": node,
                "instance_type": instance.instance_type,
                "zone": instance.zone,
                "capacity_type": instance.capacity_type,
                "usd_per_hour": world.aws.price(
                    instance.instance_type, instance.zone, instance.capacity_type
                ),
                "on_demand_usd_per_hour": world.aws.price(instance.instance_type, instance.zone, "on-demand"),
                "pods": len(world.cluster.index.workload_pods(node)),
            }
        )
    return fleet
