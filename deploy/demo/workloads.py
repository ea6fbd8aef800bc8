"""Workloads to try the system on: a recorded trace, a cluster's own dump, or a built-in mix.

Everything becomes ordinary Kubernetes manifests: the product sees them through the Kubernetes API only.
"""

import csv
import hashlib
import io
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.errors import DemoInputError
from deploy.planfiles import clusters, documents
from shared.kernel.errors import PermanentError
from shared.kernel.workload import Pod

Manifest = dict[str, Any]

NAMESPACE = "demo"

LONGEST_LABEL = 63
OPENB_COLUMNS = {"name", "cpu_milli", "memory_mib", "num_gpu", "qos"}


@dataclass(frozen=True, slots=True)
class WorkloadSet:
    """Manifests to create, and what a reader must know about them."""

    manifests: tuple[Manifest, ...]
    pods: int
    source: str
    notes: tuple[str, ...] = field(default=())
    strategy: str = "hybrid"
    """The policy's capacity strategy: hybrid keeps single replicas on demand, spot does not."""


def built_in(pods: int | None, *, seed: int) -> WorkloadSet:
    """Make a mix of about 120 workloads as web companies run them; `pods` cuts or stretches it.

    Deployments and StatefulSets of 1 to 8 replicas, most with a PodDisruptionBudget, some spread over zones,
    some kept apart on different nodes, three that must not run on spot; and two DaemonSets.
    """
    rng = random.Random(seed)
    manifests: list[Manifest] = []
    count = 0
    index = 0
    while (count < pods) if pods is not None else (index < 118):
        replicas = rng.choices((1, 2, 3, 4, 6, 8), weights=(15, 30, 25, 15, 10, 5))[0]
        if pods is not None:
            replicas = min(replicas, pods - count)
        cpu = rng.choices((100, 250, 500, 1000, 1500, 2000), weights=(20, 25, 25, 15, 10, 5))[0]
        memory = max(128, int(cpu * rng.choice((1, 2, 2, 4, 4, 8)) * 1.024))
        manifests.extend(_service(index, replicas=replicas, cpu=cpu, memory=memory, rng=rng))
        count += replicas
        index += 1
    manifests.extend(_daemon_sets())
    return WorkloadSet(tuple(manifests), count, f"built-in mix of {index} workloads (seed {seed})")


def from_openb(path: Path, *, pods: int | None, cpu_only: bool) -> WorkloadSet:
    """Read the openb trace: the first `pods` rows of any phase, one bare-bones Deployment a row.

    nvidia.com/gpu is num_gpu; gpu_milli (a share of a GPU) has no equivalent in plain Kubernetes and is ignored.

    Raises:
        DemoInputError: the file is not that trace, or holds a row that is none.
    """
    manifests: list[Manifest] = []
    shared = 0
    for line, row in _rows(path):
        try:
            cpu, memory, gpus = int(row["cpu_milli"]), int(row["memory_mib"]), int(row["num_gpu"] or 0)
        except ValueError as error:
            raise DemoInputError(
                f"{path}, line {line}: {error}; cpu, memory and GPUs are whole numbers."
            ) from error
        if cpu < 0 or memory < 0 or gpus < 0:
            raise DemoInputError(f"{path}, line {line}: a request is negative.")
        if cpu_only and gpus:
            continue
        if pods is not None and len(manifests) >= pods:
            break
        shared += 1 if gpus and row.get("gpu_milli") not in ("", "0", "1000", None) else 0
        requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
        if gpus:
            requests["nvidia.com/gpu"] = str(gpus)
        manifests.append(_deployment(row["name"], replicas=1, requests=requests, labels={"qos": row["qos"]}))
    if not manifests:
        raise DemoInputError(f"{path} holds no pod to run.")
    notes = [
        "each row is a Deployment of one replica; rows of every phase are taken",
        "a hybrid policy would keep single replicas on demand, so this one says spot",
    ]
    if not cpu_only:
        notes.append(f"gpu_milli is ignored: {shared} pods that share a GPU get a whole one")
    return WorkloadSet(
        tuple(manifests), len(manifests), f"{path.name}: {len(manifests)} rows", tuple(notes), strategy="spot"
    )


def from_kubectl(path: Path, *, pods: int | None) -> WorkloadSet:
    """Rebuild the workloads of a `kubectl get pods -A -o json` dump; pods of one controller become one Deployment.

    Raises:
        DemoInputError: the file is no list of pods.
    """
    try:
        objects = clusters.read_cluster([path])
    except PermanentError as error:
        raise DemoInputError(str(error)) from error
    movable = [p for p in objects.pods if not (p.is_daemon or p.is_mirror or p.is_finished)][:pods]
    if not movable:
        raise DemoInputError(f"{path} holds no pod that could be moved.")
    groups: Counter[str] = Counter()
    requests: dict[str, dict[str, str]] = {}
    for pod in movable:
        name = _short(f"{pod.namespace}-{pod.owner.name if pod.owner is not None else pod.name}")
        groups[name] += 1
        requests[name] = _requests_of(pod)
    manifests = [
        _deployment(name, replicas=n, requests=requests[name], labels={})
        for name, n in sorted(groups.items())
    ]
    notes = (
        "requests and replica counts are kept; volumes, selectors and images are not rebuilt",
        "pods of DaemonSets, static pods and finished ones are left out",
    )
    return WorkloadSet(tuple(manifests), sum(groups.values()), f"{path.name}", notes)


def load(path: Path | None, *, pods: int | None, cpu_only: bool, seed: int) -> WorkloadSet:
    """Choose by what the file holds; without a file, the built-in mix.

    Raises:
        DemoInputError: the file cannot be read, or is neither kind.
    """
    if path is None:
        return built_in(pods, seed=seed)
    if documents.looks_like_json(_text(path)):
        return from_kubectl(path, pods=pods)
    return from_openb(path, pods=pods, cpu_only=cpu_only)


def _text(path: Path) -> str:
    try:
        return documents.text_of(path)
    except PermanentError as error:
        raise DemoInputError(str(error)) from error


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(_text(path)))
    try:
        missing = OPENB_COLUMNS - set(reader.fieldnames or ())
        if missing:
            raise DemoInputError(
                f"{path} has no column {', '.join(sorted(missing))}; is it openb's pod list?"
            )
        for line, row in enumerate(reader, start=2):
            if any(row[column] is None for column in OPENB_COLUMNS):
                raise DemoInputError(f"{path}, line {line}: the line ends early.")
            yield line, row
    except csv.Error as error:
        raise DemoInputError(f"{path} is not CSV: {error}.") from error


def _requests_of(pod: Pod) -> dict[str, str]:
    """Give what the scheduler counts of a pod, as one container's requests; a little where it asks for nothing."""
    asked = pod.requests
    if not (asked.cpu_millicores or asked.memory_bytes or asked.extended):
        return {"cpu": "50m", "memory": "64Mi"}
    devices = {name: str(count) for name, count in asked.extended.items() if count}
    return {"cpu": f"{asked.cpu_millicores}m", "memory": str(asked.memory_bytes), **devices}


def _short(name: str) -> str:
    """Fit a name into a label; two long names that begin alike stay two."""
    if len(name) <= LONGEST_LABEL:
        return name
    return f"{name[: LONGEST_LABEL - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _deployment(name: str, *, replicas: int, requests: dict[str, str], labels: dict[str, str]) -> Manifest:
    app = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": app},
            "template": {
                "metadata": {"labels": {**app, **labels}},
                "spec": {
                    "containers": [
                        {
                            "name": "main",
                            "image": "registry.invalid/demo:1",
                            "resources": {"requests": requests},
                        }
                    ]
                },
            },
        },
    }


def _service(index: int, *, replicas: int, cpu: int, memory: int, rng: random.Random) -> Iterator[Manifest]:
    """Give one service of the mix: a Deployment or StatefulSet, and perhaps its PDB."""
    name = f"svc-{index:03d}"
    manifest = _deployment(
        name, replicas=replicas, requests={"cpu": f"{cpu}m", "memory": f"{memory}Mi"}, labels={}
    )
    spec = manifest["spec"]["template"]["spec"]
    selector = {"matchLabels": {"app": name}}
    kind = rng.random()
    if kind < 0.15:
        manifest["kind"] = "StatefulSet"
        manifest["spec"]["serviceName"] = name
    if 0.3 < kind < 0.45 and replicas >= 3:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
            }
        ]
    elif 0.45 < kind < 0.6 and 1 < replicas <= 4:
        spec["affinity"] = {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
                ]
            }
        }
    elif index % 40 == 7:
        spec["nodeSelector"] = {"karpenter.sh/capacity-type": "on-demand"}
    yield manifest
    if replicas > 1 and rng.random() < 0.7:
        yield {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"maxUnavailable": 1, "selector": selector},
        }


def _daemon_sets() -> Iterator[Manifest]:
    for name, cpu, memory in (("node-exporter", "50m", "64Mi"), ("log-shipper", "100m", "128Mi")):
        manifest = _deployment(name, replicas=1, requests={"cpu": cpu, "memory": memory}, labels={})
        manifest["kind"] = "DaemonSet"
        manifest["metadata"]["namespace"] = "kube-system"
        del manifest["spec"]["replicas"]
        spec = manifest["spec"]["template"]["spec"]
        spec |= {"tolerations": [{"operator": "Exists"}], "priorityClassName": "system-node-critical"}
        yield manifest
