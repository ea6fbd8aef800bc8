"""A pod that fits nowhere says which rule kept it from how many offers and nodes."""

from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.planning import PlanMode, plan
from shared.kernel.workload import ClusterObjects, Node, Volume
from tests.builders import HOSTNAME, ZONE, evenly, make_node, make_pod, near
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, make_market

OFFERS = 36
"""Twelve types in three zones."""


def reasons(objects: ClusterObjects, *pods: Any, mode: PlanMode = PlanMode.GREENFIELD) -> list[str]:
    """Plan for the last pod beside the others, and give why it was not placed."""
    full = replace(objects, pods=(*objects.pods, *pods))
    draft = plan(full, make_market(), ON_DEMAND, TEMPLATE, mode=mode)
    (unplaced,) = [item for item in draft.unplaced if item.pod == pods[-1].key]
    return list(unplaced.reasons)


def standing(*nodes: Node) -> ClusterObjects:
    return ClusterObjects(nodes=nodes)


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        pytest.param(
            {"node_selector": {"disk": "ssd"}},
            f"{OFFERS} of {OFFERS} offers: node(s) didn't match Pod's node affinity/selector",
            id="a label that no node will have",
        ),
        pytest.param(
            {"node_selector": {ZONE: "us-east-1a"}, "cpu": 15_900},
            f"24 of {OFFERS} offers: node(s) didn't match Pod's node affinity/selector",
            id="another zone",
        ),
        pytest.param(
            {"node_selector": {ZONE: "us-east-1a"}, "cpu": 15_900},
            f"12 of {OFFERS} offers: Insufficient cpu",
            id="and too small",
        ),
        pytest.param({"gpu": 1}, f"{OFFERS} of {OFFERS} offers: Insufficient nvidia.com/gpu", id="a device"),
        pytest.param(
            {"has_resource_claims": True},
            f"{OFFERS} of {OFFERS} offers: pod has resource claims (DRA), which only the scheduler itself can allocate",
            id="claims of devices",
        ),
        pytest.param(
            {"pod_affinity": (near("nobody"),)},
            f"{OFFERS} of {OFFERS} offers: node(s) didn't match pod affinity rules",
            id="company that is nowhere",
        ),
        pytest.param(
            {"topology_spread": (evenly(topology_key="rack"),)},
            f"{OFFERS} of {OFFERS} offers: node(s) didn't match pod topology spread constraints"
            " (missing required label)",
            id="a topology that is nowhere",
        ),
    ],
)
def test_each_rule_is_counted_over_offers(pod: dict[str, Any], why: str) -> None:
    assert why in reasons(ClusterObjects(), make_pod("lost", **pod))


def test_a_volume_that_is_not_there_yet_stands_in_the_way_everywhere() -> None:
    objects = ClusterObjects(volumes=(Volume("shop", "data", is_bound=False),))
    found = reasons(objects, make_pod("lost", claims=("data",)))
    assert f"{OFFERS} of {OFFERS} offers: pod has unbound immediate PersistentVolumeClaims" in found


def test_each_rule_is_counted_over_standing_nodes() -> None:
    objects = standing(
        make_node("full", cpu=100, instance_type="m5.large"),
        make_node("cordoned", is_unschedulable=True, instance_type="m5.large"),
        make_node("other", instance_type="m5.large"),
    )
    lost = make_pod("lost", node_selector={"disk": "ssd"})
    found = reasons(objects, lost, mode=PlanMode.PENDING)
    assert found[-3:] == [
        "3 of 3 nodes: node(s) didn't match Pod's node affinity/selector",
        "1 of 3 nodes: Insufficient cpu",
        "1 of 3 nodes: node(s) were unschedulable",
    ]


def test_pods_of_a_kind_are_all_named() -> None:
    lost = [make_pod(f"lost-{i}", pod_affinity=(near("nobody", topology_key=HOSTNAME),)) for i in range(3)]
    draft = plan(
        ClusterObjects(pods=tuple(lost)), make_market(), ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD
    )
    assert [item.pod for item in draft.unplaced] == ["shop/lost-0", "shop/lost-1", "shop/lost-2"]
    assert len({item.reasons for item in draft.unplaced}) == 1
