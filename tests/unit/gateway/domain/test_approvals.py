"""When nobody has to be asked."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.approvals import LaunchFacts, PlanFacts, PolicyFacts, decide
from shared.contracts.v1.policy import Policy
from tests.builders import make_instance_type
from tests.fakes.gateway import START

GIB = 2**30
LAUNCH = LaunchFacts(
    instance_type="m5.large",
    zones=frozenset({"use1-az1", "us-east-1a"}),
    usd_per_hour=Decimal("0.05"),
    kind=make_instance_type("m5.large", vcpus=2, gib=8),
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
    filters=Policy(excluded_instance_types=("t3.nano",)),
    price_max_age_seconds=3600,
    revision=3,
)


def of(name: str, **fields: Any) -> LaunchFacts:
    return replace(LAUNCH, instance_type=name, kind=make_instance_type(name, **fields))


def under(policy: Policy) -> PolicyFacts:
    """The same autopilot with the filters of a policy."""
    return replace(
        POLICY,
        filters=policy,
        zones=frozenset(policy.zones),
        max_usd_per_hour=policy.max_usd_per_hour,
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
        pytest.param({"launches": (LAUNCH, of("t3.nano"))}, id="excluded type"),
        pytest.param({"price_age_seconds": 3601}, id="old spot prices"),
        pytest.param({"cost_before_usd_per_hour": None}, id="unknown cost"),
        pytest.param({"savings_usd_per_hour": Decimal("0.04")}, id="too little saved"),
    ],
)
def test_autopilot_holds_back(change: dict[str, Any]) -> None:
    decision = decide(replace(PLAN, **change), POLICY, now=START)
    assert not decision.is_approved
    assert decision.reason.endswith(".")


G5 = of("g5.xlarge", vcpus=4, gib=16, gpus={"nvidia.com/gpu": 1})


@pytest.mark.parametrize(
    ("filters", "launch", "why"),
    [
        pytest.param({"excluded_instance_types": ("m5.large",)}, LAUNCH, "excludes m5.large", id="excluded"),
        pytest.param({"instance_families": ("c5", "m5a")}, LAUNCH, "family m5", id="other families"),
        pytest.param({"instance_sizes": ("xlarge",)}, LAUNCH, "size large", id="other sizes"),
        pytest.param({"zones": ("us-east-1b", "use1-az2")}, LAUNCH, "zone", id="other zones"),
        pytest.param({}, of("t4g.large", is_burstable=True), "burstable", id="burstable"),
        pytest.param({}, of("m7i.metal-24xl", is_bare_metal=True), "bare metal", id="bare metal"),
        pytest.param({"max_usd_per_hour": 0.049999}, LAUNCH, "USD/h", id="too dear"),
        pytest.param({}, of("m6g.large", architectures=("arm64",)), "architecture arm64", id="architecture"),
        pytest.param({"allow_gpu": False}, G5, "types with GPUs", id="GPU"),
        pytest.param({"gpu_families": ("p4d",)}, G5, "g5 among the families with GPUs", id="GPU family"),
        pytest.param({"min_vcpus": 3}, LAUNCH, "at least 3 vCPU", id="too few vCPU"),
        pytest.param({"max_vcpus": 1}, LAUNCH, "at most 1 vCPU", id="too many vCPU"),
        pytest.param({"min_memory_bytes": 9 * GIB}, LAUNCH, "at least 9 GiB", id="too little memory"),
        pytest.param({"max_memory_bytes": 7 * GIB}, LAUNCH, "at most 7 GiB", id="too much memory"),
        pytest.param({}, of("m3.large", is_current_generation=False), "previous", id="old generation"),
        pytest.param({}, replace(LAUNCH, kind=None), "does not tell what that has", id="untold"),
    ],
)
def test_what_a_filter_of_the_policy_refuses_is_not_launched_without_a_person(
    filters: dict[str, Any], launch: LaunchFacts, why: str
) -> None:
    for plan in (PLAN, PENDING):
        held = decide(replace(plan, launches=(launch,)), under(Policy(**filters)), now=START)
        assert not held.is_approved
        assert why in held.reason
        assert held.reason.endswith(".")


def test_what_is_only_launched_when_the_planned_pool_is_dry_is_judged_too() -> None:
    held = decide(replace(PLAN, launches=(LAUNCH, G5)), under(Policy(allow_gpu=False)), now=START)
    assert not held.is_approved


@pytest.mark.parametrize(
    ("filters", "launch"),
    [
        pytest.param({"instance_families": ("m5",)}, LAUNCH, id="its family"),
        pytest.param({"instance_sizes": ("large",)}, LAUNCH, id="its size"),
        pytest.param({"zones": ("us-east-1a",)}, LAUNCH, id="its zone's name"),
        pytest.param({"zones": ("use1-az1",)}, LAUNCH, id="its zone's id"),
        pytest.param({"allow_burstable": True}, of("t3.large", is_burstable=True), id="burstable"),
        pytest.param({"allow_bare_metal": True}, of("m5.metal", is_bare_metal=True), id="bare metal"),
        pytest.param({"max_usd_per_hour": 0.0499999}, LAUNCH, id="its price, but for the rounding of plans"),
        pytest.param({"architectures": ("arm64",)}, of("m6g.large", architectures=("arm64",)), id="arm64"),
        pytest.param({"gpu_families": ("g5",)}, G5, id="GPU family"),
        pytest.param({"allow_gpu": False}, LAUNCH, id="no GPU"),
        pytest.param({"min_vcpus": 2, "max_vcpus": 2}, LAUNCH, id="its vCPU"),
        pytest.param({"min_memory_bytes": 8 * GIB, "max_memory_bytes": 8 * GIB}, LAUNCH, id="its memory"),
        pytest.param(
            {"instance_families": ("m3",)},
            of("m3.large", is_current_generation=False),
            id="an old generation that it names",
        ),
    ],
)
def test_what_the_filters_of_the_policy_let_pass_needs_nobody(
    filters: dict[str, Any], launch: LaunchFacts
) -> None:
    assert decide(replace(PLAN, launches=(launch,)), under(Policy(**filters)), now=START).is_approved


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
