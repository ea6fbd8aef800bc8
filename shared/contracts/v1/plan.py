"""A plan: which fleet a cluster should have, as ordered moves, each safe by itself."""

from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.base import Ratio, Token, Usd, Value
from shared.contracts.v1.policy import Objective
from shared.contracts.v1.pricing import QuoteSource
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import PoolKey


class MoveKind(StrEnum):
    """What a move does to the fleet."""

    REPLACE = "replace"
    """Launch first, then cordon, drain and terminate."""
    DELETE = "delete"
    """Only cordon, drain and terminate: the pods fit on nodes that are Ready now."""
    LAUNCH = "launch"
    """Only launch: for pods that fit nowhere, for headroom, or before the moves that need the room."""


class MoveReason(StrEnum):
    """Why a move was made; Karpenter's words where it has one."""

    EMPTY = "empty"
    UNDERUTILIZED = "underutilized"
    CHEAPER_OFFERING = "cheaper_offering"
    INTERRUPTED = "interrupted"
    PENDING_PODS = "pending_pods"
    HEADROOM = "headroom"
    """For the room that the policy keeps free; pods of later moves may go there too."""
    MAKING_ROOM = "making_room"
    """For pods that later moves bring."""


class PlanTrigger(StrEnum):
    """What asked for the plan."""

    ON_DEMAND = "on_demand"
    TIMER = "timer"
    PENDING_PODS = "pending_pods"


class OfferingChoice(Value):
    """One pool to launch from, at the price it was planned with."""

    pool: PoolKey
    usd_per_hour: Usd
    interruption_probability: Ratio | None = None
    """Per hour; null on-demand, and where nobody knows."""


class Launch(Value):
    """One instance."""

    id: Token
    """Unique in the plan."""
    offerings: tuple[OfferingChoice, ...]
    """In the order to try; the first is the planned one."""
    pods: tuple[str, ...] = ()
    """namespace/name of pods it is meant for; kube-scheduler decides in the end."""


class Move(Value):
    """One change with its reasons."""

    id: Token
    """Unique in the plan."""
    kind: MoveKind
    reason: MoveReason
    launches: tuple[Launch, ...] = ()
    drains: tuple[str, ...] = ()
    """Node names: cordoned, drained and terminated after every launch is Ready."""
    savings_usd_per_hour: Usd
    """In price."""
    worth_usd_per_hour: Usd | None = None
    """What it saves in the plan's objective, price and weighted risk; null: the same as in price."""
    disruption_pods: int = 0
    """Pods that will be evicted."""
    disruption_usd: Usd = Decimal(0)
    """What the change costs once: pods that start cold, and launched nodes paid for beside what they replace."""
    payback_seconds: int | None = None
    """After which the move's worth has earned that; null when it is worth nothing."""
    interruptions_per_day_before: float | None = None
    """To expect of the nodes that go; null when a chance is unknown."""
    interruptions_per_day_after: float | None = None
    """To expect of the nodes that come; null when a chance is unknown."""
    explanation: str
    """One sentence a person understands."""
    runner_up: str | None = None
    """What the move was weighed against: the next best offering, or keeping the nodes."""
    runner_up_extra_usd_per_hour: Usd | None = None
    """How much dearer that is in the plan's objective; below zero, it would be cheaper for these pods alone."""
    binding_constraint: str | None = None

    @property
    def earned_usd_per_hour(self) -> Decimal:
        """Give what is held against what a policy asks a move to save."""
        return self.savings_usd_per_hour if self.worth_usd_per_hour is None else self.worth_usd_per_hour


class UnplacedPod(Value):
    """A pod no node of the plan can take, and why."""

    pod: str
    reasons: tuple[str, ...]


class DecisionParty(StrEnum):
    """Who wishes something of a plan."""

    PACKING = "packing"
    RISK = "risk"
    SIZING = "sizing"
    SCHEDULE = "schedule"
    STABILITY = "stability"
    """Budgets, annotations and policies that keep pods where they are."""


class Conflict(Value):
    """Two wishes that could not both be met; stability beats saving."""

    subject: str
    """A node, a workload or a pool."""
    wish: str
    wished_by: DecisionParty
    objection: str
    held_by: DecisionParty
    winner: DecisionParty
    forgone_usd_per_hour: Usd | None = None
    """What the wish that lost would have saved at most; null when nobody worked it out."""


class ObjectiveParts(Value):
    """What the objective is made of: nothing of it is hidden."""

    objective: Objective
    risk_weight: int
    """What the expected cost of interruptions is multiplied with."""
    price_usd_per_hour: Usd
    risk_usd_per_hour: Usd
    """Weighted."""
    preferences_usd_per_hour: Usd = Decimal(0)
    """For pods on nodes that they would rather not be on; with price and risk the objective of the nodes whose
    price is known."""
    assumed_pools: tuple[str, ...] = ()
    """Spot pools whose chance of interruption was assumed, since nobody has an estimate."""


class PoolLoss(Value):
    """What would be gone if EC2 took back all nodes of one spot pool at once."""

    pool: str
    """spot:type:zone id"""
    nodes: int
    pods: int
    vcpu_share_ratio: Ratio
    """Of what all pods request."""
    below_minimum: tuple[str, ...] = ()
    """Disruption budgets (namespace/name) that would have fewer pods left than they want."""


class ResidualRisk(Value):
    """What can still go wrong with the fleet that the plan leads to."""

    expected_interruptions_per_day: float | None = None
    """Null when a spot node's chance is unknown."""
    worst_pool_loss: PoolLoss | None = None
    """Null when nothing is on spot."""
    breaches: tuple[str, ...] = ()
    """Limits per pool and zone that the fleet does not meet, in sentences."""


class WorkloadAtRisk(Value):
    """A workload on spot that is not safe there."""

    workload: str
    """namespace/kind/name, or namespace/name of a bare pod."""
    reason: str


class SpotTolerance(Value):
    """Whether some pods of a workload may run on spot."""

    workload: str
    may_use_spot: bool
    decided_by: Literal["policy", "stated", "inferred"]
    """Stated: by annotation or node selector."""
    reason: str
    pods: int


class HeadroomKept(Value):
    """How much of one shape's headroom the fleet has room for."""

    cpu_millicores: int
    memory_bytes: int
    wanted: int
    placed: int


class UnusedInstances(Value):
    """Reserved Instances that cover nothing."""

    instance_type: str
    count: int


class CommitmentUse(Value):
    """What Reserved Instances and Savings Plans cover of the fleet."""

    covered_nodes: int
    unused_instances: tuple[UnusedInstances, ...] = ()
    unused_usd_per_hour: Usd
    """Of Savings Plans."""


class BaselineRate(Value):
    """What the cluster's requests cost before the plan; savings are booked against it."""

    usd_per_vcpu_hour: Usd
    usd_per_gib_hour: Usd


class PlanInputs(Value):
    """What the plan was made from."""

    cluster_epoch: int
    cluster_sequence: int
    policy_revision: int
    prices_as_of: AwareDatetime | None
    """When pricing answered; how old its prices were then is in `price_sources`."""
    price_sources: tuple[QuoteSource, ...] = ()
    """Where the prices on offer came from."""
    price_age_seconds: int | None
    """Of the oldest spot price used; null when none was."""
    risk_source: str
    """Where interruption probabilities came from."""
    digest: str | None = None
    """SHA-256 of pods, prices and policy: once this plan is carried out, the same ones ask for no other."""


class PlanEnding(StrEnum):
    """Why the search for a better fleet or bound ended."""

    CONVERGED = "converged"
    BUDGET = "budget"
    """The effort was used up; another run gives the same plan."""
    STOPPED = "stopped"
    """A time limit cut it: another run may give another plan."""


class Plan(Value):
    """Everything the executor needs, so that it asks nobody while it works."""

    id: UUID
    organization_id: Token
    cluster_id: Token
    trigger: PlanTrigger
    created_at: AwareDatetime
    expires_at: AwareDatetime
    inputs: PlanInputs
    nodes_before: int
    nodes_after: int
    cost_before_usd_per_hour: Usd | None
    """Null when a node's price is unknown."""
    cost_after_usd_per_hour: Usd | None
    savings_from_packing_usd_per_hour: Usd | None = None
    savings_from_capacity_type_usd_per_hour: Usd | None = None
    objective_usd_per_hour: Usd | None = None
    lower_bound_usd_per_hour: Usd | None = None
    """Proven: no fleet that meets the constraints has a lower objective."""
    gap_ratio: float | None = None
    """How far the objective is above that at most."""
    bound_leaves_out: tuple[str, ...] = ()
    """Constraints that the bound does not know: with them the true optimum may lie higher."""
    ended_by: PlanEnding = PlanEnding.CONVERGED
    expected_interruptions_per_day_before: float | None = None
    expected_interruptions_per_day_after: float | None = None
    objective_parts: ObjectiveParts | None = None
    residual_risk: ResidualRisk | None = None
    at_risk: tuple[WorkloadAtRisk, ...] = ()
    spot_tolerance: tuple[SpotTolerance, ...] = ()
    headroom: tuple[HeadroomKept, ...] = ()
    commitments: CommitmentUse | None = None
    """Null when the policy names none."""
    baseline_rate: BaselineRate | None = None
    moves: tuple[Move, ...]
    instance_types: tuple[InstanceType, ...] = ()
    """Of every offering that may be launched, by name: what the policy's filters of types are judged by."""
    unplaced: tuple[UnplacedPod, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    """What packing, risk, sizing and schedules disagreed about, and who won."""
    notes: tuple[str, ...] = ()
    """What a reader must know: stale prices, nodes left out, estimates used."""
    solve_seconds: float | None = None
