"""What a plan depends on and the input does not hold: `kubectl get` prints only the kinds that it was asked for.

A list without objects of a kind looks the same whether nobody asked for them or there are none. So a gap is told only
where something in the input refers to what is not there; budgets, to which nothing refers, are the exception.
"""

from collections.abc import Collection, Iterable, Iterator

from shared.kernel.kubernetes import WORKLOAD_KINDS
from shared.kernel.kubernetes.volumes import UNSEEN, is_class_unknown
from shared.kernel.scheduling.volumes import EBS_DRIVER, attached, claim_keys, limit_of
from shared.kernel.workload import ClusterObjects, Pod

SHOWN = 3


def gaps(objects: ClusterObjects) -> tuple[str, ...]:
    """Say in a sentence each what is missing, what that means for the plan, and what to ask kubectl for."""
    pods = [pod for pod in objects.pods if not pod.is_finished]
    return (
        *_namespaces(objects, pods),
        *_claims(objects, pods),
        *_volume_limits(objects, pods),
        *_workloads(objects, pods),
        *_budgets(objects, pods),
    )


def _namespaces(objects: ClusterObjects, pods: Collection[Pod]) -> Iterator[str]:
    asks = any(
        term.namespace_selector is not None and term.namespace_selector.requirements
        for pod in pods
        for term in (*pod.pod_affinity, *pod.pod_anti_affinity)
    )
    missing = {pod.namespace for pod in pods} - {namespace.name for namespace in objects.namespaces}
    if asks and missing:
        yield (
            "Pods choose others by labels of namespaces, and these namespaces are not in the input, so that no label"
            f" of theirs but their name is known: {_some(missing)} (kubectl get namespaces)."
        )


def _claims(objects: ClusterObjects, pods: Iterable[Pod]) -> Iterator[str]:
    used = {key for pod in pods for key in claim_keys(pod)}
    known = {volume.key: volume for volume in objects.volumes}
    # An input without any claim is planned with the volumes where their pods run, and the plan says so itself.
    missing = used - known.keys() if known else set()
    if missing:
        yield (
            "These claims of pods are not in the input, so that their pods find no other place:"
            f" {_some(missing)} (kubectl get pvc)."
        )
    refused = {key: known[key].refusal or "" for key in sorted(used & known.keys()) if known[key].refusal}
    unseen = [key for key, why in refused.items() if why == UNSEEN]
    if unseen:
        yield (
            "The volumes that these claims are bound to are not in the input, so that their pods find no other place:"
            f" {_some(unseen)} (kubectl get pv)."
        )
    unclassed = [f"{key} {why}" for key, why in refused.items() if is_class_unknown(why)]
    if unclassed:
        yield (
            "These claims are not bound, and the storage class that would tell where their volumes may lie is not in"
            f" the input, so that their pods find no place: {_some(unclassed)} (kubectl get storageclasses)."
        )


def _volume_limits(objects: ClusterObjects, pods: Iterable[Pod]) -> Iterator[str]:
    volumes = {volume.key: volume for volume in objects.volumes}
    drivers = {driver for pod in pods for driver, _ in attached(claim_keys(pod), volumes)}
    missing = [
        node.name
        for node in objects.nodes
        if node.instance_id and not node.volume_limits and limit_of(node, EBS_DRIVER) is None
    ]
    if EBS_DRIVER in drivers and missing:
        yield (
            "How many volumes these nodes take is not in the input, and no limit is kept to:"
            f" {_some(missing)} (kubectl get csinodes)."
        )


def _workloads(objects: ClusterObjects, pods: Iterable[Pod]) -> Iterator[str]:
    known = {workload.key for workload in objects.workloads}
    owners = {
        f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"
        for pod in pods
        if pod.owner is not None and pod.owner.kind in WORKLOAD_KINDS
    }
    if owners - known:
        yield (
            "These controllers of pods are not in the input; their replicas and templates are taken from the pods,"
            f" and annotations of their own are not known: {_some(owners - known)}"
            " (kubectl get deployments,replicasets,statefulsets,daemonsets,jobs)."
        )


def _budgets(objects: ClusterObjects, pods: Collection[Pod]) -> Iterator[str]:
    if not objects.budgets and objects.nodes and any(pod.node_name for pod in pods):
        yield "There is no disruption budget in the input: no pod is taken to be guarded (kubectl get pdb)."


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:SHOWN]) + ("" if len(found) <= SHOWN else f" and {len(found) - SHOWN} more")
