"""When a plan may be carried out, and when nobody has to be asked.

Held back is what would surprise the policy's author, judged by what the plan tells of what it launches; what it
leaves untold cannot be judged, and a person is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared.kernel import type_filters
from shared.kernel.capacity import InstanceType
from shared.kernel.type_filters import TypeFilters

AUTOPILOT = "autopilot"
LAUNCH = "launch"
REPLACE = "replace"
OFF = "off"
DELETE_ONLY = "delete-only"
PENDING_PODS = "pending_pods"
SPOT = "spot"
ON_DEMAND = "on-demand"
NO_SAVINGS = Decimal(0)
MICRO_USD = Decimal("0.000001")
"""Plans give prices rounded to it: a limit is rounded alike before it is compared."""

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
class LaunchFacts:
    """One offering that may be launched from."""

    instance_type: str
    zones: frozenset[str]
    """What its zone is called: its id, and the account's name where the node template tells it."""
    usd_per_hour: Decimal

    kind: InstanceType | None
    """What the type has; None when the plan does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """What the autopilot looks at in a plan."""

    trigger: str
    move_kinds: tuple[str, ...]
    savings_usd_per_hour: Decimal
    """Of all moves that are not launches for pending pods, in what the plan minimizes: price and weighted risk."""
    cost_before_usd_per_hour: Decimal | None
    capacity_types: frozenset[str]
    """Of every offering that may be launched."""
    launches: tuple[LaunchFacts, ...]
    """The same offerings, one by one."""
    price_age_seconds: int | None
    policy_revision: int
    expires_at: datetime
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What the autopilot looks at in a policy."""

    is_autopilot: bool
    launch_for_pending: bool
    strategy: str
    min_savings_ratio: float
    filters: TypeFilters
    price_max_age_seconds: int
    revision: int
    consolidation: str = REPLACE
    min_nodes: int = 0
    zones: frozenset[str] = frozenset()
    """Names or ids; empty: every one."""
    max_usd_per_hour: float | None = None


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
    refused = next((why for why in (_refusal(x, policy) for x in plan.launches) if why is not None), None)
    if refused is not None:
        return refused
    if (
        SPOT in plan.capacity_types
        and plan.price_age_seconds is not None
        and plan.price_age_seconds > policy.price_max_age_seconds
    ):
        return f"Its prices are {plan.price_age_seconds} seconds old."
    if set(plan.move_kinds) == {LAUNCH}:
        return None
    gives_up = _gives_up_too_much(plan, policy)
    if gives_up is not None:
        return gives_up
    if plan.cost_before_usd_per_hour is None or plan.cost_before_usd_per_hour <= 0:
        return "What the cluster costs today is not known."
    if plan.savings_usd_per_hour < plan.cost_before_usd_per_hour * Decimal(str(policy.min_savings_ratio)):
        return "It saves less than the policy asks for."
    return None


def _refusal(launch: LaunchFacts, policy: PolicyFacts) -> str | None:
    """Say which filter of the policy an offering does not pass, or cannot be said to; None when it passes all."""
    name = launch.instance_type
    if policy.zones and policy.zones.isdisjoint(launch.zones):
        return f"It launches in {min(launch.zones)}, a zone that the policy does not list."
    if launch.kind is None:
        return f"It launches {name} and does not tell what that has: the policy's limits cannot be held against it."
    why = type_filters.refusal(launch.kind, policy.filters)
    if why is not None:
        return f"It launches {name}, and {why}."
    most = policy.max_usd_per_hour
    if most is not None and launch.usd_per_hour > Decimal(str(most)).quantize(MICRO_USD):
        return f"It launches {name} for {launch.usd_per_hour:f} USD/h; the policy allows at most {most:g}."
    return None


def _gives_up_too_much(plan: PlanFacts, policy: PolicyFacts) -> str | None:
    if policy.consolidation == OFF:
        return "It gives nodes up, and the policy's consolidation is off."
    if policy.consolidation == DELETE_ONLY and REPLACE in plan.move_kinds:
        return "It replaces nodes, and the policy lets them only be deleted."
    if plan.nodes_after < min(policy.min_nodes, plan.nodes_before):
        return f"It leaves {plan.nodes_after} nodes, and the policy asks for at least {policy.min_nodes}."
    return None
