"""A plan arrives: kept, and approved when nobody has to be asked."""

from decimal import Decimal
from typing import Any

import pytest

from services.gateway.errors import PlanMismatchError, UnknownClusterError
from services.gateway.handlers.receive_plan import receive_plan
from services.gateway.ports import Cluster, Configuration
from shared.contracts.v1.gateway import AuditRecorded, PlanApproved
from shared.contracts.v1.plan import MoveKind, Plan, PlanTrigger
from shared.contracts.v1.policy import Approval, CapacityStrategy, NodeTemplate, Policy, SubnetRef
from tests.builders import make_instance_type
from tests.fakes.gateway import START, InMemoryGateway, SetClock, SteadyIds
from tests.fakes.gateway_plans import PLAN_ID, make_move, make_plan, proposed

CLOCK = SetClock()
SUBNET = SubnetRef(subnet_id="s", zone="us-east-1a", zone_id="use1-az1")


def gateway_with(**policy: Any) -> InMemoryGateway:
    gateway = InMemoryGateway()
    gateway.state.clusters["c1"] = Cluster(
        id="c1",
        organization_id="org",
        account_id="a",
        name="shop",
        created_at=START,
        configuration=Configuration(
            revision=1,
            policy=Policy(**policy),
            node_template=NodeTemplate(launch_template_id="lt", subnets=(SUBNET,)),
        ),
    )
    return gateway


async def receive(gateway: InMemoryGateway, plan: Plan, **fields: Any) -> None:
    ids = SteadyIds()
    async with gateway() as uow:
        await receive_plan(proposed(plan, clock=CLOCK, ids=ids, **fields), uow=uow, clock=CLOCK, ids=ids)


def plan_of(**fields: Any) -> Plan:
    return make_plan(**{"organization_id": "org", "cluster_id": "c1", "now": START, **fields})


async def test_a_person_is_asked_by_default() -> None:
    gateway = gateway_with()
    await receive(gateway, plan_of())
    assert gateway.state.plans[PLAN_ID].approved_by is None
    assert gateway.state.sent == []


async def test_autopilot_approves_exactly_this_plan_and_says_so() -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    await receive(gateway, plan_of())
    (approval,) = gateway.sent(PlanApproved)
    assert approval.plan_sha256 == gateway.state.plans[PLAN_ID].sha256
    assert (approval.plan_id, approval.approved_by) == (PLAN_ID, "autopilot")
    (audit,) = gateway.sent(AuditRecorded)
    assert (audit.actor, audit.action, audit.scope) == ("autopilot", "approve_plan", "org")


async def test_a_plan_that_is_proposed_again_is_not_approved_again() -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    await receive(gateway, plan_of())
    await receive(gateway, plan_of())
    assert len(gateway.sent(PlanApproved)) == 1


async def test_nodes_for_pending_pods_need_nobody() -> None:
    gateway = gateway_with()
    move = make_move(MoveKind.LAUNCH, savings=Decimal("-0.05"))
    await receive(gateway, plan_of(trigger=PlanTrigger.PENDING_PODS, moves=(move,)))
    assert len(gateway.sent(PlanApproved)) == 1


@pytest.mark.parametrize(("worth", "approvals"), [("0.09", 1), ("0.001", 0)])
async def test_autopilot_judges_a_move_by_its_worth_and_not_by_its_price_alone(
    worth: str, approvals: int
) -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    savings = Decimal("-0.002") if approvals else Decimal("0.10")
    move = make_move(savings=savings, worth_usd_per_hour=Decimal(worth))
    await receive(gateway, plan_of(moves=(move,)))
    assert len(gateway.sent(PlanApproved)) == approvals
    assert ("saves less" in gateway.state.plans[PLAN_ID].decision_note) != bool(approvals)


@pytest.mark.parametrize(("cost", "approvals"), [("0.05", 1), ("0.099", 0)])
async def test_what_is_launched_first_counts_against_what_is_saved(cost: str, approvals: int) -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    first = make_move(MoveKind.LAUNCH, savings=-Decimal(cost))
    await receive(gateway, plan_of(moves=(first, make_move(MoveKind.DELETE, id="move-2"))))
    assert len(gateway.sent(PlanApproved)) == approvals


async def test_spot_is_not_launched_against_the_policy() -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT, strategy=CapacityStrategy.ON_DEMAND)
    await receive(gateway, plan_of())
    assert gateway.sent(PlanApproved) == []
    assert "spot" in gateway.state.plans[PLAN_ID].decision_note


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ({"instance_families": ("c5",)}, "family m5"),
        ({"instance_sizes": ("xlarge",)}, "size large"),
        ({"zones": ("us-east-1b",)}, "zone"),
        ({"excluded_instance_types": ("m5.large",)}, "excludes"),
        ({"max_usd_per_hour": 0.01}, "USD/h"),
        ({"architectures": ("arm64",)}, "architecture amd64"),
        ({"max_vcpus": 1}, "at most 1 vCPU"),
        ({"min_memory_bytes": 2**34}, "at least 16 GiB"),
        ({"consolidation": "delete-only"}, "only be deleted"),
        ({"consolidation": "off"}, "consolidation is off"),
    ],
)
async def test_autopilot_holds_a_plan_against_each_filter_of_the_policy(
    policy: dict[str, Any], word: str
) -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT, **policy)
    await receive(gateway, plan_of())
    assert gateway.sent(PlanApproved) == []
    assert word in gateway.state.plans[PLAN_ID].decision_note


async def test_autopilot_reads_burstable_bare_metal_and_the_least_nodes_of_the_policy_too() -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT, zones=("us-east-1a",), min_nodes=2)
    burstable = make_instance_type("t3.large", is_burstable=True)
    plan = plan_of(moves=(make_move(instance_type="t3.large"),), instance_types=(burstable,))
    await receive(gateway, plan)
    assert "burstable" in gateway.state.plans[PLAN_ID].decision_note
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    metal = make_instance_type("m5.metal", is_bare_metal=True)
    await receive(gateway, plan_of(moves=(make_move(instance_type="m5.metal"),), instance_types=(metal,)))
    assert "bare metal" in gateway.state.plans[PLAN_ID].decision_note
    gateway = gateway_with(approval=Approval.AUTOPILOT, min_nodes=2)
    await receive(gateway, plan_of(nodes_after=1))
    assert "at least 2" in gateway.state.plans[PLAN_ID].decision_note


async def test_each_type_is_judged_by_its_own_description() -> None:
    moves = (make_move(), make_move(id="move-2", instance_type="m5.4xlarge"))
    kinds = (make_instance_type("m5.4xlarge", vcpus=16, gib=64), make_instance_type("m5.large", vcpus=2))
    for order in (kinds, kinds[::-1]):
        gateway = gateway_with(approval=Approval.AUTOPILOT, max_vcpus=8)
        await receive(gateway, plan_of(moves=moves, instance_types=order))
        note = gateway.state.plans[PLAN_ID].decision_note
        assert note == "It launches m5.4xlarge, and the policy allows at most 8 vCPU."


async def test_a_person_is_asked_about_a_type_that_the_plan_does_not_describe() -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    await receive(gateway, plan_of(instance_types=()))
    assert gateway.sent(PlanApproved) == []
    assert "does not tell what that has" in gateway.state.plans[PLAN_ID].decision_note


@pytest.mark.parametrize(
    ("plan", "fields", "error"),
    [
        pytest.param({"cluster_id": "c2"}, {}, UnknownClusterError, id="unknown cluster"),
        pytest.param({"cluster_id": "c2"}, {"scope": "c1"}, PlanMismatchError, id="another cluster's"),
        pytest.param({"organization_id": "eve"}, {}, PlanMismatchError, id="another organization's"),
        pytest.param({}, {"sha256": "0" * 64}, PlanMismatchError, id="another digest"),
    ],
)
async def test_a_plan_that_is_not_what_it_says_is_refused(
    plan: dict[str, Any], fields: dict[str, Any], error: type[Exception]
) -> None:
    gateway = gateway_with(approval=Approval.AUTOPILOT)
    with pytest.raises(error):
        await receive(gateway, plan_of(**plan), **fields)
    assert gateway.state.plans == {}
    assert gateway.state.sent == []
