"""What planning gives back; handlers turn it into the plan of the contracts, with ids and times."""

from dataclasses import dataclass
from enum import StrEnum

from services.optimizer.domain.assurances import Assurance
from services.optimizer.domain.columns.problem import Ending
from services.optimizer.domain.decision import Conflict
from services.optimizer.domain.offers import Offer
from shared.kernel.workload import Node

ROUNDING = 1e-6
"""By so much of itself a bound may be above the objective on account of rounding."""


class DraftKind(StrEnum):
    """What a move does to the fleet."""

    REPLACE = "replace"
    DELETE = "delete"
    LAUNCH = "launch"


class DraftReason(StrEnum):
    """Why a move was made."""

    EMPTY = "empty"
    UNDERUTILIZED = "underutilized"
    CHEAPER_OFFERING = "cheaper_offering"
    PENDING_PODS = "pending_pods"
    HEADROOM = "headroom"
    MAKING_ROOM = "making_room"


@dataclass(frozen=True, slots=True)
class LaunchDraft:
    """One instance; the offers in the order to try, the first is the planned one."""

    id: str
    offers: tuple[Offer, ...]
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveDraft:
    """One change; feasible when the moves before it are done."""

    id: str
    kind: DraftKind
    reason: DraftReason
    launches: tuple[LaunchDraft, ...] = ()
    drains: tuple[str, ...] = ()
    savings_usd_per_hour: float
    """In price."""
    worth_usd_per_hour: float
    """In the objective: price and weighted risk."""
    disruption_pods: int = 0
    disruption_usd: float = 0.0
    """What the change costs once: pods that start cold, and launched nodes paid for beside what they replace."""
    payback_seconds: int | None = None
    """After which the move has earned that; None when it saves nothing."""
    interruptions_per_day_before: float | None = None
    """To expect of the nodes that go; None when a chance is unknown."""
    interruptions_per_day_after: float | None = None
    """To expect of the nodes that come."""
    explanation: str
    runner_up: str | None = None
    runner_up_extra_usd_per_hour: float | None = None
    """How much dearer the runner-up is in the objective; below zero, it would be cheaper for these pods alone."""
    binding_constraint: str | None = None


@dataclass(frozen=True, slots=True)
class FleetNode:
    """One node of the fleet that the plan leads to."""

    node: Node
    usd_per_hour: float | None
    """None when the price of an existing node is unknown."""
    existing: str | None
    """Its name, when it is there already."""
    pods: tuple[str, ...]
    """namespace/name, sorted; pods of DaemonSets and of the kubelet itself are left out."""


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that no node of the plan can take, and why."""

    pod: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaselineRates:
    """What a requested core and GiB cost an hour before the plan."""

    usd_per_vcpu_hour: float
    usd_per_gib_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDraft:
    """A fleet, the moves that lead to it, and what they are worth."""

    moves: tuple[MoveDraft, ...]
    nodes: tuple[FleetNode, ...]
    unplaced: tuple[Unplaced, ...]
    nodes_before: int
    nodes_after: int
    cost_before_usd_per_hour: float | None
    """None when a node's price is unknown, or when there is no node."""
    cost_after_usd_per_hour: float | None
    objective_usd_per_hour: float | None
    """Price and expected cost of interruptions, an hour."""
    lower_bound_usd_per_hour: float | None
    """Proven: no fleet that meets the constraints has a lower objective."""
    savings_from_packing_usd_per_hour: float | None
    savings_from_capacity_type_usd_per_hour: float | None
    expected_interruptions_per_day_before: float | None
    expected_interruptions_per_day_after: float | None
    baseline: BaselineRates | None
    notes: tuple[str, ...]
    skip_reason: str | None
    """Why there is no move, in one sentence; None when there is one."""
    price_age_seconds: int | None
    """Of the oldest spot price used; None when none was."""
    conflicts: tuple[Conflict, ...] = ()
    """Wishes that could not both be met, and who won."""
    bound_leaves_out: tuple[str, ...] = ()
    """Constraints that the bound does not know: with them the true optimum may lie higher."""
    ended_by: Ending = Ending.CONVERGED
    """Why the search ended; a plan that was stopped may differ in another run."""
    assurance: Assurance | None = None

    @property
    def gap_ratio(self) -> float | None:
        """How far the objective is from the bound at most."""
        if self.objective_usd_per_hour is None or not self.lower_bound_usd_per_hour:
            return None
        gap = self.objective_usd_per_hour / self.lower_bound_usd_per_hour - 1
        # Below zero by more than rounding, the bound is wrong: that is to be seen.
        return 0.0 if -ROUNDING <= gap < 0 else gap
