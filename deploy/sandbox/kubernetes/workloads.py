"""Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs: each keeps as many pods as it says."""

import hashlib
import json

from deploy.sandbox.kubernetes import asked as asking
from deploy.sandbox.kubernetes.admission import admit
from deploy.sandbox.kubernetes.errors import ApiError
from deploy.sandbox.kubernetes.index import Index, controller_of, is_active, is_healthy, owned_by
from deploy.sandbox.kubernetes.kinds import (
    BY_NAME,
    CLAIM,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    NODE,
    POD,
    REPLICA_SET,
    STATEFUL_SET,
    Kind,
    Object,
)
from deploy.sandbox.kubernetes.nodes import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from deploy.sandbox.kubernetes.store import Change, Key, Store, key_of
from deploy.sandbox.kubernetes.writes import Writes

_CONTROLLERS = (DEPLOYMENT, REPLICA_SET, STATEFUL_SET, DAEMON_SET, JOB)
_DAEMON_TOLERATIONS = [
    {"key": key, "operator": "Exists", "effect": effect}
    for key, effects in (
        (NOT_READY, ("NoExecute", "NoSchedule")),
        (UNREACHABLE, ("NoExecute", "NoSchedule")),
        (UNSCHEDULABLE, ("NoSchedule",)),
        ("node.kubernetes.io/disk-pressure", ("NoSchedule",)),
        ("node.kubernetes.io/memory-pressure", ("NoSchedule",)),
        ("node.kubernetes.io/pid-pressure", ("NoSchedule",)),
    )
    for effect in effects
]


def template_hash(template: Object) -> str:
    """Return the pod-template-hash of a template."""
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


class Workloads:
    """Every workload controller, driven by what changed."""

    def __init__(self, *, store: Store, index: Index, writes: Writes) -> None:
        self._store = store
        self._index = index
        self._writes = writes
        self._dirty: dict[Kind, set[Key]] = {kind: set() for kind in _CONTROLLERS}

    @property
    def idle(self) -> bool:
        """Whether every controller has looked at every change."""
        return not any(self._dirty.values())

    def observe(self, change: Change) -> None:
        """Remember whom a change concerns."""
        if change.kind in self._dirty and change.type != "DELETED":
            self._dirty[change.kind].add(key_of(change.object))
        owner = controller_of(change.object)
        if owner is not None:
            kind = BY_NAME.get((owner["apiVersion"], owner["kind"]))
            if kind in self._dirty:
                self._dirty[kind].add((change.object["metadata"].get("namespace") or "", owner["name"]))
        if change.kind is NODE and (change.previous is None or change.type == "DELETED" or _moved(change)):
            self._dirty[DAEMON_SET] |= {key_of(daemon) for daemon in self._store.all(DAEMON_SET)}

    def reconcile(self) -> None:
        """Bring every concerned workload nearer to what it says."""
        for kind, act in (
            (DEPLOYMENT, self._deployment),
            (DAEMON_SET, self._daemon_set),
            (STATEFUL_SET, self._stateful_set),
            (JOB, self._job),
            (REPLICA_SET, self._replica_set),
        ):
            keys, self._dirty[kind] = self._dirty[kind], set()
            for key in sorted(keys):
                obj = self._store.find(kind, *key)
                if obj is not None and not obj["metadata"].get("deletionTimestamp"):
                    act(obj)

    def _pods(self, owner: Object) -> list[Object]:
        return list(self._index.pods_of.get(owner["metadata"]["uid"], {}).values())

    def _deployment(self, deployment: Object) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        name = f"{metadata['name']}-{template_hash(spec['template'])}"
        namespace, replicas = metadata["namespace"], spec["replicas"]
        sets = [
            child
            for kind, key in self._index.children.get(metadata["uid"], ())
            if kind is REPLICA_SET and (child := self._store.find(REPLICA_SET, *key)) is not None
        ]
        current = next((s for s in sets if s["metadata"]["name"] == name), None)
        old = [s for s in sets if s is not current]
        still_old = sum((s.get("status") or {}).get("replicas", 0) for s in old)
        if current is None:
            wait = (spec.get("strategy") or {}).get("type") == "Recreate" and still_old
            current = self._create_replica_set(deployment, name, 0 if wait else replicas)
        is_recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
        self._rescale(REPLICA_SET, current, 0 if is_recreate and still_old else replicas)
        current = self._store.get(REPLICA_SET, namespace, name)
        if is_recreate or (current.get("status") or {}).get("readyReplicas", 0) >= replicas:
            for replica_set in old:
                self._rescale(REPLICA_SET, replica_set, 0)
        status = current.get("status") or {}
        ready = sum((s.get("status") or {}).get("readyReplicas", 0) for s in (current, *old))
        self._store.set_status(
            DEPLOYMENT,
            self._store.get(DEPLOYMENT, namespace, metadata["name"]),
            observedGeneration=metadata.get("generation", 1),
            replicas=status.get("replicas", 0) + still_old,
            updatedReplicas=status.get("replicas", 0),
            readyReplicas=ready,
            availableReplicas=ready,
            unavailableReplicas=max(replicas - ready, 0),
            conditions=[{"type": "Available", "status": str(ready >= replicas)}],
        )

    def _create_replica_set(self, deployment: Object, name: str, replicas: int) -> Object:
        metadata, template = deployment["metadata"], deployment["spec"]["template"]
        own = {"pod-template-hash": name.removeprefix(f"{metadata['name']}-")}
        template_metadata = template.get("metadata") or {}
        labels = {**(template_metadata.get("labels") or {}), **own}
        selector = deployment["spec"]["selector"]
        return self._store.create(
            REPLICA_SET,
            {
                "metadata": {
                    "name": name,
                    "namespace": metadata["namespace"],
                    "labels": labels,
                    "ownerReferences": owned_by(deployment),
                },
                "spec": {
                    "replicas": replicas,
                    "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **own}},
                    "template": {**template, "metadata": {**template_metadata, "labels": labels}},
                },
                "status": {"replicas": 0},
            },
        )

    def _rescale(self, kind: Kind, obj: Object, replicas: int) -> None:
        if obj["spec"].get("replicas") != replicas:
            self._store.replace(kind, {**obj, "spec": {**obj["spec"], "replicas": replicas}})

    def _replica_set(self, replica_set: Object) -> None:
        wanted = replica_set["spec"]["replicas"]
        active = [pod for pod in self._pods(replica_set) if is_active(pod)]
        for _ in range(wanted - len(active)):
            self._create_pod(replica_set, {"generateName": f"{replica_set['metadata']['name']}-"})
        # Like the real one: unplaced pods go first, then those that are not ready, then the youngest.
        active.sort(key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
        active.sort(key=lambda pod: (bool(pod["spec"].get("nodeName")), is_healthy(pod)))
        for pod in active[: max(len(active) - wanted, 0)]:
            self._writes.end_pod(pod)
        self._report(REPLICA_SET, replica_set)

    def _stateful_set(self, stateful_set: Object) -> None:
        spec, name = stateful_set["spec"], stateful_set["metadata"]["name"]
        pods = {pod["metadata"]["name"]: pod for pod in self._pods(stateful_set)}
        in_order = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        start = (spec.get("ordinals") or {}).get("start", 0)
        wanted = [f"{name}-{start + ordinal}" for ordinal in range(spec["replicas"])]
        for pod_name in wanted:
            pod = pods.get(pod_name)
            if pod is None:
                pod = self._create_stateful_pod(stateful_set, pod_name)
            if in_order and (pod is None or not is_healthy(pod)):
                break
        for pod_name in sorted(pods.keys() - set(wanted)):
            if is_active(pods[pod_name]):
                self._writes.end_pod(pods[pod_name])
        self._report(STATEFUL_SET, stateful_set)

    def _create_stateful_pod(self, stateful_set: Object, pod_name: str) -> Object | None:
        namespace = stateful_set["metadata"]["namespace"]
        extra_volumes = []
        for claim in stateful_set["spec"].get("volumeClaimTemplates") or ():
            claim_name = f"{claim['metadata']['name']}-{pod_name}"
            if self._store.find(CLAIM, namespace, claim_name) is None:
                body = {**claim, "metadata": {**claim["metadata"], "name": claim_name}}
                self._store.create(CLAIM, admit(CLAIM, body, namespace=namespace))
            extra_volumes.append(
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name}}
            )
        labels = {
            "statefulset.kubernetes.io/pod-name": pod_name,
            "apps.kubernetes.io/pod-index": pod_name.rpartition("-")[2],
        }
        return self._create_pod(
            stateful_set,
            {"name": pod_name},
            labels=labels,
            spec={"hostname": pod_name},
            volumes=extra_volumes,
        )

    def _daemon_set(self, daemon_set: Object) -> None:
        spec = daemon_set["spec"]["template"]["spec"]
        tolerations = [*(spec.get("tolerations") or ()), *_DAEMON_TOLERATIONS]
        affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        )
        test = asking.node_test(affinity, spec.get("nodeSelector") or {})
        eligible = {
            node["metadata"]["name"]
            for node in self._store.all(NODE)
            if test(node["metadata"].get("labels") or {}) and asking.admits(node, tolerations)
        }
        present: set[str] = set()
        for pod in self._pods(daemon_set):
            node = _daemon_node(pod)
            if not is_active(pod):
                continue
            if node in eligible and node not in present:
                present.add(node)
            else:
                self._writes.end_pod(pod)
        for node in sorted(eligible - present):
            self._create_pod(
                daemon_set,
                {"generateName": f"{daemon_set['metadata']['name']}-"},
                spec={"tolerations": tolerations, "affinity": _pinned(spec.get("affinity") or {}, node)},
            )
        ready = sum(1 for pod in self._pods(daemon_set) if is_healthy(pod))
        self._store.set_status(
            DAEMON_SET,
            self._store.get(DAEMON_SET, *key_of(daemon_set)),
            observedGeneration=daemon_set["metadata"].get("generation", 1),
            desiredNumberScheduled=len(eligible),
            currentNumberScheduled=len(eligible),
            updatedNumberScheduled=len(eligible),
            numberMisscheduled=0,
            numberReady=ready,
            numberAvailable=ready,
        )

    def _job(self, job: Object) -> None:
        spec, pods = job["spec"], self._pods(job)
        succeeded = sum(1 for pod in pods if pod["status"].get("phase") == "Succeeded")
        active = [pod for pod in pods if is_active(pod)]
        missing = min(spec["parallelism"], (spec.get("completions") or 1) - succeeded) - len(active)
        for _ in range(missing):
            self._create_pod(job, {"generateName": f"{job['metadata']['name']}-"})
        done = succeeded >= (spec.get("completions") or 1)
        self._store.set_status(
            JOB,
            self._store.get(JOB, *key_of(job)),
            active=0 if done else len(active) + max(missing, 0),
            succeeded=succeeded,
            conditions=[{"type": "Complete", "status": "True"}] if done else [],
        )

    def _create_pod(
        self,
        owner: Object,
        naming: Object,
        *,
        labels: Object | None = None,
        spec: Object | None = None,
        volumes: list[Object] | None = None,
    ) -> Object | None:
        template = owner["spec"]["template"]
        given = template.get("metadata") or {}
        metadata = {**given, **naming, "labels": {**(given.get("labels") or {}), **(labels or {})}}
        metadata["ownerReferences"] = owned_by(owner)
        body = {**template["spec"], **(spec or {})}
        if volumes:
            body["volumes"] = [*(body.get("volumes") or ()), *volumes]
        namespace = owner["metadata"]["namespace"]
        try:
            return self._store.create(
                POD, admit(POD, {"metadata": metadata, "spec": body}, namespace=namespace)
            )
        except ApiError as error:
            if error.code != 409:
                raise
            return None

    def _report(self, kind: Kind, owner: Object) -> None:
        pods = [pod for pod in self._pods(owner) if is_active(pod)]
        ready = sum(1 for pod in pods if is_healthy(pod))
        self._store.set_status(
            kind,
            self._store.get(kind, *key_of(owner)),
            observedGeneration=owner["metadata"].get("generation", 1),
            replicas=len(pods),
            readyReplicas=ready,
            availableReplicas=ready,
        )


def _moved(change: Change) -> bool:
    before = change.previous or {}
    return bool(
        before.get("spec") != change.object["spec"]
        or before["metadata"].get("labels") != change.object["metadata"].get("labels")
    )


def _pinned(affinity: Object, node: str) -> Object:
    pin = {"matchFields": [{"key": asking.NAME_FIELD, "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [pin]}
    return {**affinity, "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _daemon_node(pod: Object) -> str:
    """Return the node a daemon's pod is on or is meant for."""
    if node := pod["spec"].get("nodeName"):
        return str(node)
    rule = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(rule["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])
