"""What planning is allowed to do: the part of a client's policy and node template that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.kernel.capacity import AmiFamily
from shared.kernel.workload import Taint

DISK_BYTES = 20 * 1024**3
"""The root volume that EKS nodes have unless told otherwise."""


class Strategy(StrEnum):
    """Which capacity types new nodes may have."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    HYBRID = "hybrid"


class Objective(StrEnum):
    """How much interruptions weigh against prices."""

    LOWEST_COST = "lowest-cost"
    BALANCED = "balanced"
    CAPACITY_OPTIMIZED = "capacity-optimized"


class Consolidation(StrEnum):
    """What may be done to save."""

    OFF = "off"
    DELETE_ONLY = "delete-only"
    REPLACE = "replace"


class ConsolidationLevel(StrEnum):
    """How eagerly nodes are given up to pack their pods elsewhere."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"


UTILIZATION_THRESHOLDS: Mapping[ConsolidationLevel, int] = {
    ConsolidationLevel.CONSERVATIVE: 20,
    ConsolidationLevel.BALANCED: 50,
    ConsolidationLevel.AGGRESSIVE: 80,
}
"""In percent of the larger of requested CPU and memory; from there on a node is only replaced one for one."""

RISK_WEIGHTS: Mapping[Objective, int] = {
    Objective.LOWEST_COST: 0,
    Objective.BALANCED: 1,
    Objective.CAPACITY_OPTIMIZED: 5,
}
"""What the expected cost of interruptions is multiplied with before it is added to the price.

0 looks at prices only. 1 counts a dollar that is probably lost like a dollar that is paid. 5 is a choice, not a
measurement: it prefers a pool that is a fifth as risky as soon as it costs no more than the whole risk of the other.
"""


@dataclass(frozen=True, slots=True)
class OnDemandFloor:
    """How many replicas of a workload stay on on-demand."""

    workload: str
    """namespace/name; * stands for any text."""
    replicas: int


@dataclass(frozen=True, slots=True)
class HeadroomShape:
    """Room that is kept free: so many pods of this size must fit at once."""

    cpu_millicores: int
    memory_bytes: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedInstances:
    """Instances that are paid for whether they run or not."""

    instance_type: str
    count: int
    zone: str | None = None
    """Zone or zone id of a zonal reservation; None: it counts in the whole region."""
    is_size_flexible: bool = False
    """Whether it also covers other sizes of the family, by normalization factor; regional ones only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsPlan:
    """A commitment to spend so much an hour at lower rates."""

    usd_per_hour: float
    rates: Mapping[str, float]
    """USD an hour by instance type, as the plan's own list says; a type without a rate is not covered."""
    instance_family: str | None = None
    """Of an EC2 Instance Savings Plan; None: a Compute Savings Plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """What is paid for already."""

    reserved_instances: tuple[ReservedInstances, ...] = ()
    savings_plans: tuple[SavingsPlan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.reserved_instances or self.savings_plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRules:
    """Mirrors the fields of the policy of the same names."""

    strategy: Strategy = Strategy.HYBRID
    instance_families: frozenset[str] = frozenset()
    """Empty: every current one."""
    instance_sizes: frozenset[str] = frozenset()
    """Empty: every size."""
    excluded_instance_types: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    """Names or ids; empty: every zone of the template."""
    architectures: frozenset[str] = frozenset({"amd64"})
    allow_burstable: bool = False
    allow_bare_metal: bool = False
    allow_gpu: bool = True
    gpu_families: frozenset[str] = frozenset()
    """Empty: every family that has GPUs."""
    min_vcpus: int | None = None
    max_vcpus: int | None = None
    min_memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_usd_per_hour: float | None = None
    excluded_namespaces: frozenset[str] = frozenset()
    min_savings_ratio: float = 0.05
    min_move_savings_usd_per_hour: float = 0.005
    max_pool_share_ratio: float = 0.5
    max_cluster_pool_share_ratio: float | None = None
    max_zone_share_ratio: float | None = None
    price_max_age_seconds: int = 3600
    objective: Objective = Objective.BALANCED
    usd_per_restart: float = 0.001
    """What one involuntary restart of a pod is worth, however many others run; see interruption_cost."""
    restart_seconds: int = 60
    """How long a pod takes to serve again."""
    usd_per_downtime_hour: float = 0.1
    """What an hour without any replica of a workload is worth."""
    unknown_interruption_probability: float = 0.05
    """Per hour, of a spot pool that nobody has an estimate for."""
    usd_per_unmet_preference_hour: float = 0.0005
    """What an hour of one pod is worth less where a preferred term of full weight is not met; see preferences."""
    spot_workloads: tuple[str, ...] = ()
    """namespace/name, * for any text: may run on spot whatever they look like."""
    on_demand_workloads: tuple[str, ...] = ()
    """The same: never on spot."""
    on_demand_floors: tuple[OnDemandFloor, ...] = ()
    headroom: tuple[HeadroomShape, ...] = ()
    min_nodes: int = 0
    commitments: Commitments = field(default_factory=Commitments)
    usd_per_moved_pod: float = 0.001
    """What one planned move of a pod costs: it starts cold, and may miss a request; budgets and grace do hold."""
    overlap_seconds: int = 300
    """How long a launched node is paid for beside what it replaces: two minutes to boot, three to drain."""
    payback_seconds: int = 1800
    """Within this time a move must have earned what it disrupts: spot prices and pods are no longer foreseen."""
    consolidation: Consolidation = Consolidation.REPLACE
    consolidation_level: ConsolidationLevel = ConsolidationLevel.AGGRESSIVE
    min_node_age_seconds: int = 0
    max_disrupted_nodes_ratio: float = 0.2
    """Of each node pool."""

    @property
    def min_move_micro_usd(self) -> int:
        """Give what a move that saves must be worth an hour, in micro-dollars."""
        return round(self.min_move_savings_usd_per_hour * 1_000_000)

    @property
    def risk_weight(self) -> int:
        """Give what the expected cost of interruptions is multiplied with."""
        return RISK_WEIGHTS[self.objective]


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone under both of its names."""

    name: str
    """The account's own: us-east-1a."""
    zone_id: str
    """The same place in every account: use1-az1."""


@dataclass(frozen=True, slots=True)
class Template:
    """Where nodes may be launched and what they will carry."""

    zones: tuple[Zone, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    node_pool: str = "default"
    prefix_delegation: bool = False
    """The VPC CNI gives interfaces prefixes of 16 addresses, and kubelets take as many pods as EKS recommends then."""
    max_pods: int | None = None
    """What kubelets are told to take; None: what the interfaces have addresses for."""
    ami_family: AmiFamily = AmiFamily.AL2023
    taints: tuple[Taint, ...] = ()
    """That stay: those that only hold until a node is ready are none of planning's business."""
    disk_bytes: int = DISK_BYTES
    """Of the disk that holds images, logs and what pods write."""
    by_karpenter: bool = False
    """Karpenter launches the nodes, and labels them with what it knows of their types."""

    def zone_name(self, zone_id: str) -> str | None:
        """Give the account's name of a zone, None for one where nothing may be launched."""
        return next((z.name for z in self.zones if z.zone_id == zone_id), None)

    def zone_id(self, name: str) -> str | None:
        """Give the id of a zone that the account calls `name`."""
        return next((z.zone_id for z in self.zones if z.name == name), None)
