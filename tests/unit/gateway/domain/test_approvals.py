"""When nobody has to be asked."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.approvals import PlanFacts, PolicyFacts, decide
from tests.fakes.gateway import START

PLAN = PlanFacts(
    trigger="timer",
    move_kinds=("replace", "delete"),
    savings_usd_per_hour=Decimal("0.10"),
    cost_before_usd_per_hour=Decimal("1.00"),
    capacity_types=frozenset({"spot"}),
    instance_types=frozenset({"m5.large"}),
    price_age_seconds=60,
    policy_revision=3,
    expires_at=START + timedelta(minutes=5),
)
PENDING = replace(PLAN, trigger="pending_pods", move_kinds=("launch",), savings_usd_per_hour=Decimal("-0.2"))
POLICY = PolicyFacts(
    is_autopilot=True,
    launch_for_pending=True,
    strategy="hybrid",
    min_savings_ratio=0.05,
    excluded_instance_types=frozenset({"t3.nano"}),
    price_max_age_seconds=3600,
    revision=3,
)


def test_autopilot_approves_what_stays_within_the_policy() -> None:
    assert decide(PLAN, POLICY, now=START).is_approved


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"expires_at": START}, id="expired"),
        pytest.param({"policy_revision": 2}, id="made under another policy"),
        pytest.param({"move_kinds": ()}, id="moves nothing"),
        pytest.param({"capacity_types": frozenset({"reserved"})}, id="strange capacity"),
        pytest.param({"instance_types": frozenset({"t3.nano"})}, id="excluded type"),
        pytest.param({"price_age_seconds": 3601}, id="old spot prices"),
        pytest.param({"cost_before_usd_per_hour": None}, id="unknown cost"),
        pytest.param({"savings_usd_per_hour": Decimal("0.04")}, id="too little saved"),
    ],
)
def test_autopilot_holds_back(change: dict[str, Any]) -> None:
    decision = decide(replace(PLAN, **change), POLICY, now=START)
    assert not decision.is_approved
    assert decision.reason.endswith(".")


def test_old_prices_stop_no_on_demand_plan() -> None:
    plan = replace(PLAN, capacity_types=frozenset({"on-demand"}), price_age_seconds=10**6)
    assert decide(plan, POLICY, now=START).is_approved


@pytest.mark.parametrize(
    ("plan", "launch_for_pending", "is_approved"),
    [
        pytest.param(PENDING, True, True, id="only launches for pending pods"),
        pytest.param(PENDING, False, False, id="the policy asks"),
        pytest.param(replace(PENDING, trigger="timer"), True, False, id="another trigger"),
        pytest.param(replace(PENDING, move_kinds=("launch", "delete")), True, False, id="deletes too"),
        pytest.param(replace(PENDING, policy_revision=1), True, False, id="another policy"),
        pytest.param(replace(PENDING, cost_before_usd_per_hour=None), True, True, id="unknown cost"),
    ],
)
def test_without_autopilot_only_pending_pods_are_helped(
    plan: PlanFacts, *, launch_for_pending: bool, is_approved: bool
) -> None:
    policy = replace(POLICY, is_autopilot=False, launch_for_pending=launch_for_pending)
    assert decide(plan, policy, now=START).is_approved is is_approved


@given(
    savings=st.decimals("-10", "10", places=3),
    kinds=st.lists(st.sampled_from(["replace", "delete", "launch"])),
    trigger=st.sampled_from(["timer", "on_demand", "pending_pods"]),
)
def test_manual_approval_never_lets_a_disruption_pass(
    savings: Decimal, kinds: list[str], trigger: str
) -> None:
    plan = replace(PLAN, savings_usd_per_hour=savings, move_kinds=tuple(kinds), trigger=trigger)
    decision = decide(plan, replace(POLICY, is_autopilot=False), now=START)
    assert not decision.is_approved or set(kinds) == {"launch"}
