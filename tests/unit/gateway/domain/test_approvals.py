"""When nobody has to be asked."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.approvals import LaunchFacts, PlanFacts, PolicyFacts, decide
from tests.fakes.gateway import START

LAUNCH = LaunchFacts(
    instance_type="m5.large", zones=frozenset({"use1-az1", "us-east-1a"}), usd_per_hour=Decimal("0.05")
)
PLAN = PlanFacts(
    trigger="timer",
    move_kinds=("replace", "delete"),
    savings_usd_per_hour=Decimal("0.10"),
    cost_before_usd_per_hour=Decimal("1.00"),
    capacity_types=frozenset({"spot"}),
    launches=(LAUNCH,),
    price_age_seconds=60,
    policy_revision=3,
    expires_at=START + timedelta(minutes=5),
    nodes_before=5,
    nodes_after=3,
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
        pytest.param({"launches": (LAUNCH, replace(LAUNCH, instance_type="t3.nano"))}, id="excluded type"),
        pytest.param({"price_age_seconds": 3601}, id="old spot prices"),
        pytest.param({"cost_before_usd_per_hour": None}, id="unknown cost"),
        pytest.param({"savings_usd_per_hour": Decimal("0.04")}, id="too little saved"),
    ],
)
def test_autopilot_holds_back(change: dict[str, Any]) -> None:
    decision = decide(replace(PLAN, **change), POLICY, now=START)
    assert not decision.is_approved
    assert decision.reason.endswith(".")


@pytest.mark.parametrize(
    ("policy", "launch"),
    [
        pytest.param({"excluded_instance_types": frozenset({"m5.large"})}, {}, id="excluded type"),
        pytest.param({"instance_families": frozenset({"c5", "m5a"})}, {}, id="other families"),
        pytest.param({"instance_sizes": frozenset({"xlarge"})}, {}, id="other sizes"),
        pytest.param({"zones": frozenset({"us-east-1b", "use1-az2"})}, {}, id="other zones"),
        pytest.param({}, {"instance_type": "t4g.large"}, id="burstable"),
        pytest.param({}, {"instance_type": "m7i.metal-24xl"}, id="bare metal"),
        pytest.param({"max_usd_per_hour": 0.049999}, {}, id="too dear"),
    ],
)
def test_what_a_filter_of_the_policy_refuses_is_not_launched_without_a_person(
    policy: dict[str, Any], launch: dict[str, Any]
) -> None:
    cheap = replace(LAUNCH, instance_type="c5.xlarge", zones=frozenset({"use1-az2"}))
    bad = replace(LAUNCH, **launch)
    strict = replace(POLICY, **policy)
    for plan in (PLAN, PENDING):
        held = decide(replace(plan, launches=(cheap, bad)), strict, now=START)
        assert not held.is_approved
        assert held.reason.endswith(".")


@pytest.mark.parametrize(
    ("policy", "launch"),
    [
        pytest.param({"instance_families": frozenset({"m5"})}, {}, id="its family"),
        pytest.param({"instance_sizes": frozenset({"large"})}, {}, id="its size"),
        pytest.param({"zones": frozenset({"us-east-1a"})}, {}, id="its zone's name"),
        pytest.param({"zones": frozenset({"use1-az1"})}, {}, id="its zone's id"),
        pytest.param({"allow_burstable": True}, {"instance_type": "t4g.large"}, id="burstable"),
        pytest.param({}, {"instance_type": "trn1.2xlarge"}, id="no burstable by its first letter"),
        pytest.param({"allow_bare_metal": True}, {"instance_type": "m5.metal"}, id="bare metal"),
        pytest.param({"max_usd_per_hour": 0.0499999}, {}, id="its price, but for the rounding of plans"),
    ],
)
def test_what_the_filters_of_the_policy_let_pass_needs_nobody(
    policy: dict[str, Any], launch: dict[str, Any]
) -> None:
    plan = replace(PLAN, launches=(replace(LAUNCH, **launch),))
    assert decide(plan, replace(POLICY, **policy), now=START).is_approved


@pytest.mark.parametrize(
    ("policy", "plan", "is_approved"),
    [
        pytest.param({"consolidation": "off"}, {"move_kinds": ("delete",)}, False, id="nothing is given up"),
        pytest.param({"consolidation": "off"}, {"move_kinds": ("launch",)}, True, id="launches are no loss"),
        pytest.param({"consolidation": "delete-only"}, {}, False, id="nothing is replaced"),
        pytest.param({"consolidation": "delete-only"}, {"move_kinds": ("delete",)}, True, id="only deleted"),
        pytest.param({"min_nodes": 4}, {}, False, id="too few nodes"),
        pytest.param({"min_nodes": 3}, {}, True, id="just enough nodes"),
        pytest.param({"min_nodes": 9}, {"nodes_after": 5}, True, id="too few already"),
    ],
)
def test_no_more_is_given_up_than_the_policy_says(
    policy: dict[str, Any], plan: dict[str, Any], *, is_approved: bool
) -> None:
    assert decide(replace(PLAN, **plan), replace(POLICY, **policy), now=START).is_approved is is_approved


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
