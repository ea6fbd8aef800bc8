"""What a client allows: Policy and NodeTemplate; gateway, optimizer, executor and `--policy FILE` read this.

Every field has a default that is safe on a production cluster that nobody has looked at yet.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts.base import Ratio, Token, Value
from shared.kernel.capacity import AmiFamily


class CapacityStrategy(StrEnum):
    """Which capacity types new nodes may have."""

    SPOT = "spot"
    """Spot only; what may not run on spot is reported, not moved."""
    ON_DEMAND = "on-demand"
    HYBRID = "hybrid"
    """Spot for what tolerates it, on-demand for the rest and as a fallback."""


class Approval(StrEnum):
    """Who lets a plan be carried out."""

    MANUAL = "manual"
    AUTOPILOT = "autopilot"
    """The gateway approves at once every plan that stays within the policy."""


class Objective(StrEnum):
    """How much interruptions weigh against prices: weights of one objective, not different searches."""

    LOWEST_COST = "lowest-cost"
    """Prices only; the expected cost of interruptions counts 0 times."""
    BALANCED = "balanced"
    """The expected cost of interruptions counts once, like any other cost."""
    CAPACITY_OPTIMIZED = "capacity-optimized"
    """It counts five times."""


WorkloadPattern = Annotated[str, Field(pattern=r"^[^/\s]{1,253}/[^/\s]{1,253}$")]
"""namespace/name of a workload; * stands for any text, so that shop/* is a whole namespace."""


class OnDemandFloor(Value):
    """How many replicas of a workload stay on on-demand."""

    workload: WorkloadPattern
    replicas: Annotated[int, Field(ge=1, le=100_000)]


class HeadroomShape(Value):
    """Room that is kept free: so many pods of this size fit at once, at any time."""

    cpu_millicores: Annotated[int, Field(ge=0, le=1_000_000)]
    memory_bytes: Annotated[int, Field(ge=0, le=2**50)]
    count: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if self.cpu_millicores == 0 and self.memory_bytes == 0:
            raise ValueError("headroom of no CPU and no memory is none")
        return self


class ReservedInstances(Value):
    """Reserved Instances of one kind: paid for whether they run or not, and so used first."""

    instance_type: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
    count: Annotated[int, Field(ge=1, le=100_000)]
    zone: str | None = None
    """Zone or zone id of a zonal reservation; null: it counts in the whole region."""
    is_size_flexible: bool = False
    """Whether it covers other sizes of its family too (regional, Linux, default tenancy)."""

    @model_validator(mode="after")
    def _is_regional_when_flexible(self) -> Self:
        if self.is_size_flexible and self.zone is not None:
            raise ValueError("a zonal reservation covers its own size only")
        return self


class SavingsPlan(Value):
    """A commitment to spend so much an hour at lower rates."""

    usd_per_hour: Annotated[float, Field(gt=0)]
    rates: dict[str, Annotated[float, Field(gt=0)]]
    """USD an hour by instance type, from the plan's own rate list; a type without a rate is not covered."""
    instance_family: str | None = None
    """Of an EC2 Instance Savings Plan; null: a Compute Savings Plan."""


class Commitments(Value):
    """What is paid for already; the policy holds it, or `spotopt plan --commitments FILE`."""

    reserved_instances: tuple[ReservedInstances, ...] = ()
    savings_plans: tuple[SavingsPlan, ...] = ()


class Consolidation(StrEnum):
    """What may be done to save."""

    OFF = "off"
    """Nothing: nodes are launched for pods that fit nowhere, and none is given up."""
    DELETE_ONLY = "delete-only"
    """Nodes whose pods fit on the others are given up; nothing is launched in their place."""
    REPLACE = "replace"
    """Nodes are given up, and cheaper ones launched for their pods."""


class ConsolidationLevel(StrEnum):
    """From which utilization on a node is not given up to pack its pods elsewhere.

    Utilization is the larger of the shares of CPU and memory that pods request, as cluster-autoscaler's
    scale-down-utilization-threshold counts it. A node at or above it may still be replaced by a cheaper one.
    """

    CONSERVATIVE = "conservative"
    """20 %."""
    BALANCED = "balanced"
    """50 %, cluster-autoscaler's own default."""
    AGGRESSIVE = "aggressive"
    """80 %."""


class MaintenanceWindow(Value):
    """When disruption is allowed; without any window it always is."""

    timezone: str = "UTC"
    """IANA name."""
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """0 is Monday."""
    start: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    """Local time, HH:MM."""
    duration_seconds: Annotated[int, Field(gt=0, le=86400)] = 86400


WEEK_SECONDS = 7 * 24 * 3600
"""Longest time in a policy: what no calendar can hold would fail in whoever adds it to an instant."""


class Policy(Value):
    """What the optimizer may plan and the executor may do, per cluster."""

    approval: Approval = Approval.MANUAL
    strategy: CapacityStrategy = CapacityStrategy.HYBRID
    min_savings_ratio: Ratio = 0.05
    """A plan that saves less of today's cost is not proposed."""
    min_move_savings_usd_per_hour: Annotated[float, Field(ge=0)] = 0.005
    """A single move that saves less is left out."""
    max_disrupted_nodes_ratio: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of a node pool's nodes that may be draining at the same time; at least one node of each."""
    consolidation: Consolidation = Consolidation.REPLACE
    consolidation_level: ConsolidationLevel = ConsolidationLevel.AGGRESSIVE
    """Aggressive by default: what holds a plan back is that each move must pay for itself and that all pods must
    fit in any order; of a full but dear node, a lower level would forbid what is the larger part of the saving."""
    payback_seconds: Annotated[int, Field(ge=0, le=WEEK_SECONDS)] = 1800
    """Within this time a change must have earned what it costs once: pods that move, and nodes that overlap."""
    usd_per_moved_pod: Annotated[float, Field(ge=0)] = 0.001
    """What one planned move of a pod costs; the part of a change's cost that no invoice shows."""
    min_node_age_seconds: Annotated[int, Field(ge=0, le=WEEK_SECONDS)] = 0
    """Younger nodes are not given up, nor those of which the age is unknown; 0: age plays no part."""
    max_pool_share_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of one workload's replicas that may stand in one spot pool, rounded down; its disruption budget
    may allow less. Where that is none, the workload runs on-demand."""
    max_cluster_pool_share_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of all requested vCPU that may stand in one spot pool; null: no limit."""
    max_zone_share_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of all requested vCPU that may stand in one zone; null: no limit."""
    objective: Objective = Objective.BALANCED
    usd_per_restart: Annotated[float, Field(ge=0)] = 0.001
    """What one interruption of a pod is worth, however many replicas it has."""
    restart_seconds: Annotated[int, Field(ge=0, le=86400)] = 60
    """How long an interrupted pod takes to serve again."""
    usd_per_downtime_hour: Annotated[float, Field(ge=0)] = 0.1
    """What an hour without any replica of a workload is worth; one of n replicas counts an n-th of it."""
    unknown_interruption_probability: Ratio = 0.05
    """Per hour, assumed of spot pools that nobody has an estimate for."""
    usd_per_unmet_preference_hour: Annotated[float, Field(ge=0)] = 0.0005
    """What an hour of one pod is worth less on a node that does not meet a preferred term of full weight (100).

    At its default a wish decides between offers that cost nearly the same, and is no reason to move a pod."""
    spot_workloads: tuple[WorkloadPattern, ...] = ()
    """May run on spot, whatever they look like."""
    on_demand_workloads: tuple[WorkloadPattern, ...] = ()
    """Never run on spot; this wins over everything that says they may."""
    on_demand_floors: tuple[OnDemandFloor, ...] = ()
    headroom: tuple[HeadroomShape, ...] = ()
    min_nodes: Annotated[int, Field(ge=0, le=10_000)] = 0
    """No plan leaves fewer nodes than this, unless there are fewer already."""
    commitments: Commitments = Commitments()
    launch_for_pending: bool = True
    """Launch nodes for pods that fit nowhere, without asking."""
    on_demand_fallback: bool = True
    """Replace an interrupted spot node by an on-demand one when no spot pool will do."""
    stabilization_seconds: Annotated[int, Field(ge=0, le=WEEK_SECONDS)] = 600
    """No new plan of savings within this time of the last finished execution."""
    drain_deadline_seconds: Annotated[int, Field(ge=30, le=WEEK_SECONDS)] = 900
    """A drain that is blocked for longer is given up: the node is uncordoned, and the blocker named."""
    node_ready_deadline_seconds: Annotated[int, Field(ge=30, le=WEEK_SECONDS)] = 600
    """A launched instance whose node is not Ready by then is terminated and the next offering tried."""
    instance_families: tuple[str, ...] = ()
    """Families allowed (m5, c6i, …); empty: every current one."""
    instance_sizes: tuple[str, ...] = ()
    """Sizes allowed (large, 2xlarge, …); empty: every one."""
    excluded_instance_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    """Names or ids of the zones to launch in; empty: every zone of the node template."""
    architectures: tuple[str, ...] = ("amd64",)
    """In Kubernetes' words. arm64 only when every image is known to be built for it."""
    allow_burstable: bool = False
    allow_bare_metal: bool = False
    allow_gpu: bool = True
    """Types with GPUs; they are launched only for pods that ask for some."""
    gpu_families: tuple[str, ...] = ()
    """Families allowed among the types with GPUs; empty: every one."""
    min_vcpus: Annotated[int, Field(gt=0)] | None = None
    max_vcpus: Annotated[int, Field(gt=0)] | None = None
    """Of one instance; null: no limit."""
    min_memory_bytes: Annotated[int, Field(gt=0)] | None = None
    max_memory_bytes: Annotated[int, Field(gt=0)] | None = None
    """Of one instance; null: no limit."""
    max_usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Of one instance; null: no limit."""
    excluded_namespaces: tuple[str, ...] = ()
    """Pods in them are never evicted; a node that holds one stays."""
    maintenance_windows: tuple[MaintenanceWindow, ...] = ()
    price_max_age_seconds: Annotated[int, Field(gt=0, le=WEEK_SECONDS)] = 3600
    """Spot prices older than this start no new spot move."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        """Refuse limits that no instance type, and no workload, can meet."""
        for name in ("vcpus", "memory_bytes"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{name} is above max_{name}")
        if not self.architectures:
            raise ValueError("architectures is empty: no instance type could be launched")
        if self.gpu_families and not self.allow_gpu:
            raise ValueError("gpu_families are given, and allow_gpu is false")
        both = sorted(set(self.spot_workloads) & set(self.on_demand_workloads))
        if both:
            raise ValueError(f"{both[0]} is in spot_workloads and in on_demand_workloads")
        return self


class SubnetRef(Value):
    """Where instances may be launched, with both names of its zone."""

    subnet_id: str
    zone: str
    """The account's own name, us-east-1a."""
    zone_id: Token
    """The same place in every account, use1-az1."""


class NodeTemplate(Value):
    """How an instance is launched so that it joins the cluster."""

    name: Token = "default"
    launch_template_id: str
    """Holds image, user data, security groups and instance profile; the executor changes none of them."""
    launch_template_version: str = "$Default"
    subnets: Annotated[tuple[SubnetRef, ...], Field(min_length=1)]
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that its nodes will carry beyond the well-known ones; planning counts on them."""
    prefix_delegation: bool = False
    """The VPC CNI has ENABLE_PREFIX_DELEGATION, and the launch template the maxPods that EKS recommends with it."""
    max_pods: Annotated[int, Field(ge=1, le=1000)] | None = None
    """What the launch template tells every kubelet (maxPods); None: what the type's interfaces have addresses for."""
    ami_family: AmiFamily = AmiFamily.AL2023
    """What the launch template's image is: their kubelets keep different memory, and Bottlerocket has a second disk."""
