"""What runs in a cluster, as far as planning, executing and reporting must know it.

These are the closed list of fields that an agent publishes: nothing else of an object leaves the cluster
(no environment, image, command, annotation beyond those named here). Contracts embed these values as they
are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources


class Operator(StrEnum):
    """How a label is compared; Kubernetes' own spelling."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comparison of a label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any, everything matches. `None` in its place matches nothing."""

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSelectorTerm:
    """Requirements on labels and on fields (metadata.name); ANDed. Terms beside it are ORed."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferredTerm:
    """A wish with a weight of 1 to 100: a cost, not a constraint."""

    weight: int
    term: NodeSelectorTerm


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclass(frozen=True, slots=True)
class Taint:
    """On a node."""

    key: str
    effect: TaintEffect
    value: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """On a pod. No key with Exists tolerates everything; no effect means every effect."""

    key: str = ""
    operator: str = "Equal"
    """Equal or Exists."""
    value: str = ""
    effect: TaintEffect | None = None


@dataclass(frozen=True, slots=True)
class PodAffinityTerm:
    """Near (or, in the anti list, away from) pods that match, per value of the topology key."""

    topology_key: str
    selector: LabelSelector | None
    namespaces: tuple[str, ...] = ()
    """Empty, and no namespace_selector: the pod's own namespace."""
    namespace_selector: LabelSelector | None = None
    weight: int | None = None
    """None: required. 1 to 100: preferred."""
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopologySpread:
    """How evenly matching pods must lie over the values of a topology key."""

    topology_key: str
    max_skew: int
    when_unsatisfiable: str
    """DoNotSchedule or ScheduleAnyway."""
    selector: LabelSelector | None
    min_domains: int | None = None
    node_affinity_policy: str = "Honor"
    node_taints_policy: str = "Ignore"
    match_label_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """A port taken on the node itself."""

    port: int
    protocol: str = "TCP"
    host_ip: str = "0.0.0.0"


class PodPhase(StrEnum):
    """Kubernetes' own."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """The controller that would make the pod again: the topmost known (Deployment before ReplicaSet)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class SpotWish:
    """What the annotations of a pod or workload say about spot; None where they say nothing."""

    allowed: bool | None = None
    """spot-optimizer.io/spot."""
    on_demand_min_replicas: int | None = None
    """spot-optimizer.io/on-demand-min-replicas."""
    interruption_cost_usd: float | None = None
    """spot-optimizer.io/interruption-cost-usd: what one interruption of one pod is worth."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: what it asks for and where it may run."""

    namespace: str
    name: str
    uid: str
    requests: Resources
    """Effective requests, as kube-scheduler counts sidecars, init containers, overhead and pod-level ones."""
    phase: PodPhase = PodPhase.PENDING
    node_name: str | None = None
    is_ready: bool = False
    created_at: datetime | None = None
    is_terminating: bool = False
    owner: Owner | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: tuple[NodeSelectorTerm, ...] = ()
    """Required terms, ORed; empty: no constraint."""
    preferred_nodes: tuple[PreferredTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    pod_affinity: tuple[PodAffinityTerm, ...] = ()
    pod_anti_affinity: tuple[PodAffinityTerm, ...] = ()
    topology_spread: tuple[TopologySpread, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    claims: tuple[str, ...] = ()
    """Names of PersistentVolumeClaims in its namespace (generic ephemeral ones included)."""
    has_local_storage: bool = False
    """hostPath or emptyDir: what is in it dies with the pod's node."""
    priority: int = 0
    is_mirror: bool = False
    """A static pod of the kubelet: it cannot be moved or evicted."""
    do_not_disrupt: bool = False
    """karpenter.sh/do-not-disrupt, or cluster-autoscaler's safe-to-evict: "false"."""
    termination_grace_seconds: int = 30
    scheduling_gated: bool = False
    is_unschedulable: bool = False
    """kube-scheduler has tried it and found no node: its condition PodScheduled says so."""
    has_resource_claims: bool = False
    """spec.resourceClaims (DRA): devices that only the scheduler can allocate."""
    os: str | None = None
    """spec.os.name: a kubelet of another system refuses the pod."""
    restart_count: int = 0
    limits: Resources = field(default_factory=Resources)
    spot_wish: SpotWish = SpotWish()

    @property
    def key(self) -> str:
        """Namespace and name, as people write it."""
        return f"{self.namespace}/{self.name}"

    def on(self, node_name: str | None) -> "Pod":
        """Give the pod as it is on a node, or on none: dataclasses.replace in half the time, for plans of many pods."""
        if node_name == self.node_name:
            return self
        values = list(_pod_values(self))
        values[_NODE_NAME] = node_name
        return Pod(*values)

    @property
    def is_finished(self) -> bool:
        """Whether it holds no resources any more."""
        return self.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)

    @property
    def is_daemon(self) -> bool:
        """Whether a DaemonSet owns it: it comes and goes with its node."""
        return self.owner is not None and self.owner.kind == "DaemonSet"


_POD_FIELDS = tuple(item.name for item in fields(Pod))
_NODE_NAME = _POD_FIELDS.index("node_name")
_pod_values = attrgetter(*_POD_FIELDS)


@dataclass(frozen=True, slots=True)
class Node:
    """One node."""

    name: str
    allocatable: Resources
    max_pods: int
    capacity: Resources = field(default_factory=Resources)
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    is_unschedulable: bool = False
    is_ready: bool = True
    instance_id: str | None = None
    """From spec.providerID; None when the node is not an EC2 instance."""
    instance_type: str | None = None
    zone: str | None = None
    zone_id: str | None = None
    capacity_type: CapacityType | None = None
    """None when no label says; it is then priced as on-demand and said so."""
    node_pool: str | None = None
    created_at: datetime | None = None
    do_not_disrupt: bool = False
    attachable_volumes: int | None = None
    """EBS volumes that may be attached, where volume_limits does not say; None: no limit is known."""
    volume_limits: Mapping[str, int] = field(default_factory=dict)
    """By CSI driver, as its CSINode says; a driver that is not named has no limit."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A controller of pods: Deployment, StatefulSet, DaemonSet, Job, or a ReplicaSet of its own."""

    namespace: str
    kind: str
    name: str
    replicas: int | None = None
    """Desired; None where the kind has none (DaemonSet, Job)."""
    ready_replicas: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_template: Pod | None = None
    """What its pods look like; kept for DaemonSets, whose pods every new node must hold."""
    spot_wish: SpotWish = SpotWish()

    @property
    def key(self) -> str:
        """Namespace, kind and name."""
        return f"{self.namespace}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """A PodDisruptionBudget and what its controller last said."""

    namespace: str
    name: str
    selector: LabelSelector | None
    min_available: str | None = None
    """A number or a percentage, as written."""
    max_unavailable: str | None = None
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    always_allows_unhealthy: bool = False
    """unhealthyPodEvictionPolicy AlwaysAllow: pods that are not ready may go whatever the budget says."""

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolumeClaim with what its bound PersistentVolume demands of the node."""

    namespace: str
    name: str
    is_bound: bool
    node_affinity: tuple[NodeSelectorTerm, ...] = ()
    """Of the bound volume: usually its zone."""
    wait_for_first_consumer: bool = False
    zone_labels: tuple[Requirement, ...] = ()
    """Zones and regions in the bound volume's own labels, which old drivers wrote; they hold beside node_affinity."""
    driver: str | None = None
    """The CSI driver that attaches it; "" when none does, None when it is not known (it is counted as EBS)."""
    single_pod: bool = False
    """ReadWriteOncePod: one pod of the whole cluster may use it."""
    refusal: str | None = None
    """Why no new pod may use it, such as "is being deleted"; None: it may."""

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """Its labels, for namespace selectors."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterObjects:
    """Some, or all, objects of a cluster; each kind sorted by key."""

    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    workloads: tuple[Workload, ...] = ()
    budgets: tuple[DisruptionBudget, ...] = ()
    volumes: tuple[Volume, ...] = ()
    namespaces: tuple[Namespace, ...] = ()


class ObjectKind(StrEnum):
    """The kinds in ClusterObjects; the wire's and the tables' word for each."""

    NODE = "node"
    POD = "pod"
    WORKLOAD = "workload"
    BUDGET = "budget"
    VOLUME = "volume"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Names one object: its kind and key (name, or namespace/name, or namespace/kind/name for workloads)."""

    kind: ObjectKind
    key: str
