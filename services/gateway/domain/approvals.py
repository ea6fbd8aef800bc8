"""When a plan may be carried out, and when nobody has to be asked.

The executor holds every move against the policy again; here only what would surprise the policy's author is held back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

AUTOPILOT = "autopilot"
LAUNCH = "launch"
PENDING_PODS = "pending_pods"
SPOT = "spot"
ON_DEMAND = "on-demand"
NO_SAVINGS = Decimal(0)

ALLOWED_CAPACITY_TYPES: Mapping[str, frozenset[str]] = {
    "spot": frozenset({SPOT}),
    "on-demand": frozenset({ON_DEMAND}),
    "hybrid": frozenset({SPOT, ON_DEMAND}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPlan:
    """What the gateway keeps of a plan it saw."""

    id: UUID
    organization_id: str
    cluster_id: str
    sha256: str
    trigger: str
    move_kinds: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    decision_note: str
    """Why autopilot approved it, or why a person is asked."""
    approved_by: str | None = None
    approved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """What the autopilot looks at in a plan."""

    trigger: str
    move_kinds: tuple[str, ...]
    savings_usd_per_hour: Decimal
    """Of all moves that are not launches for pending pods."""
    cost_before_usd_per_hour: Decimal | None
    capacity_types: frozenset[str]
    """Of every offering that may be launched."""
    instance_types: frozenset[str]
    price_age_seconds: int | None
    policy_revision: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What the autopilot looks at in a policy."""

    is_autopilot: bool
    launch_for_pending: bool
    strategy: str
    min_savings_ratio: float
    excluded_instance_types: frozenset[str]
    price_max_age_seconds: int
    revision: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether nobody has to be asked, and why."""

    is_approved: bool
    reason: str


def decide(plan: PlanFacts, policy: PolicyFacts, *, now: datetime) -> Decision:
    """Decide whether a plan is approved without a person."""
    is_launch_for_pending = (
        plan.trigger == PENDING_PODS and bool(plan.move_kinds) and set(plan.move_kinds) == {LAUNCH}
    )
    if not policy.is_autopilot and not (is_launch_for_pending and policy.launch_for_pending):
        return Decision(is_approved=False, reason="The policy asks a person.")
    problem = _problem(plan, policy, now=now)
    if problem is not None:
        return Decision(is_approved=False, reason=problem)
    if is_launch_for_pending:
        return Decision(is_approved=True, reason="It only launches nodes for pods that fit nowhere.")
    return Decision(is_approved=True, reason="It stays within the policy.")


def _problem(plan: PlanFacts, policy: PolicyFacts, *, now: datetime) -> str | None:
    if now >= plan.expires_at:
        return "It had expired when it arrived."
    if plan.policy_revision != policy.revision:
        return f"It was made under revision {plan.policy_revision} of the policy, not {policy.revision}."
    if not plan.move_kinds:
        return "It moves nothing."
    strange = plan.capacity_types - ALLOWED_CAPACITY_TYPES.get(policy.strategy, frozenset())
    if strange:
        return f"It launches {', '.join(sorted(strange))} capacity, which the policy does not allow."
    excluded = plan.instance_types & policy.excluded_instance_types
    if excluded:
        return f"It launches {', '.join(sorted(excluded))}, which the policy excludes."
    if (
        SPOT in plan.capacity_types
        and plan.price_age_seconds is not None
        and plan.price_age_seconds > policy.price_max_age_seconds
    ):
        return f"Its prices are {plan.price_age_seconds} seconds old."
    if set(plan.move_kinds) == {LAUNCH}:
        return None
    if plan.cost_before_usd_per_hour is None or plan.cost_before_usd_per_hour <= 0:
        return "What the cluster costs today is not known."
    if plan.savings_usd_per_hour < plan.cost_before_usd_per_hour * Decimal(str(policy.min_savings_ratio)):
        return "It saves less than the policy asks for."
    return None
