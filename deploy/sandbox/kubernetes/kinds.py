"""The resources this cluster serves, in one table: paths, discovery and validation all read it."""

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON; never changed in place once it is stored."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    has_status: bool = False
    has_scale: bool = False

    @property
    def api_version(self) -> str:
        """What stands in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """What error messages call it: deployments.apps, pods."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


NODE = Kind("", "v1", "Node", "nodes", namespaced=False, short=("no",), has_status=True)
POD = Kind("", "v1", "Pod", "pods", short=("po",), has_status=True)
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False, short=("ns",), has_status=True)
EVENT = Kind("", "v1", "Event", "events", short=("ev",))
CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short=("pvc",), has_status=True)
VOLUME = Kind(
    "", "v1", "PersistentVolume", "persistentvolumes", namespaced=False, short=("pv",), has_status=True
)
DEPLOYMENT = Kind(
    "apps", "v1", "Deployment", "deployments", short=("deploy",), has_status=True, has_scale=True
)
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets", short=("rs",), has_status=True, has_scale=True)
STATEFUL_SET = Kind(
    "apps", "v1", "StatefulSet", "statefulsets", short=("sts",), has_status=True, has_scale=True
)
DAEMON_SET = Kind("apps", "v1", "DaemonSet", "daemonsets", short=("ds",), has_status=True)
JOB = Kind("batch", "v1", "Job", "jobs", has_status=True)
BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", short=("pdb",), has_status=True)
STORAGE_CLASS = Kind(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False, short=("sc",)
)

KINDS = (
    NODE,
    POD,
    NAMESPACE,
    EVENT,
    CLAIM,
    VOLUME,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    DAEMON_SET,
    JOB,
    BUDGET,
    STORAGE_CLASS,
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "ConfigMap", "configmaps", short=("cm",)),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", short=("sa",)),
    Kind("", "v1", "Service", "services", short=("svc",), has_status=True),
    Kind("", "v1", "ResourceQuota", "resourcequotas", short=("quota",), has_status=True),
    Kind("", "v1", "LimitRange", "limitranges"),
    Kind("", "v1", "ReplicationController", "replicationcontrollers", has_status=True, has_scale=True),
    Kind("batch", "v1", "CronJob", "cronjobs", short=("cj",), has_status=True),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", has_status=True),
    Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False, short=("pc",)),
    Kind("storage.k8s.io", "v1", "CSINode", "csinodes", namespaced=False),
    Kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", namespaced=False, has_status=True),
    Kind("coordination.k8s.io", "v1", "Lease", "leases"),
    Kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False),
    Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
)

BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
BY_NAME = {(kind.api_version, kind.kind): kind for kind in KINDS}
