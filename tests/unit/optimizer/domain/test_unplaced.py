"""A pod that fits nowhere says which rule kept it from how many offers and nodes."""

from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules
from shared.kernel.resources import Resources
from shared.kernel.workload import ClusterObjects, Node, Pod, Volume
from tests.builders import (
    HOSTNAME,
    ZONE,
    evenly,
    make_instance_type,
    make_node,
    make_pod,
    make_pool,
    make_resources,
    near,
)
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


GPU = "nvidia.com/gpu"
M5_ONLY = replace(ON_DEMAND, instance_families=frozenset({"m5"}), instance_sizes=frozenset({"large"}))
WIDE = (
    (make_instance_type("t4g.nano", vcpus=2, gib=64, architectures=("arm64",), is_burstable=True), 0.004),
    (make_instance_type("g5g.large", vcpus=4, gib=8, architectures=("arm64",), gpus={GPU: 1}), 0.4),
    (make_instance_type("m5.large", vcpus=2, gib=8), 0.096),
    (make_instance_type("c5.large", vcpus=4, gib=64), 0.2),
    (make_instance_type("g4dn.large", vcpus=4, gib=16, gpus={GPU: 1}), 0.5),
    (make_instance_type("c6.metal", vcpus=96, gib=192, is_bare_metal=True), 4.0),
)
"""Cheap types that several rules forbid, and dearer ones that one rule does."""


def told(pod: Pod, rules: PlanRules) -> list[str]:
    """Give why the pod is left out of a market of those types in each of the three zones."""
    offers = [
        Offer(make_pool(kind.name, zone_id=f"use1-az{zone}"), price)
        for kind, price in WIDE
        for zone in (1, 2, 3)
    ]
    market = Market({kind.name: kind for kind, _ in WIDE}, tuple(offers))
    draft = plan(ClusterObjects(pods=(pod,)), market, rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    return list(draft.unplaced[0].reasons)


def hinted(pod: Pod, rules: PlanRules) -> list[str]:
    return [reason for reason in told(pod, rules) if "could hold it" in reason]


@pytest.mark.parametrize(
    ("pod", "rules", "hints"),
    [
        pytest.param(
            make_pod(gib=32),
            M5_ONLY,
            ["c5.large could hold it, but the policy does not list family c5"],
            id="what two rules forbid, architecture and family, is no hint",
        ),
        pytest.param(
            make_pod(gpu=1),
            M5_ONLY,
            ["g4dn.large could hold it, but the policy does not list family g4dn"],
            id="nor is a device on another architecture",
        ),
        pytest.param(
            make_pod(gib=32, node_selector={"disk": "ssd"}), M5_ONLY, [], id="nor what the pod would refuse"
        ),
        pytest.param(
            make_pod(cpu=50_000),
            ON_DEMAND,
            ["c6.metal could hold it, but the policy does not allow bare metal"],
            id="bare metal alone",
        ),
        pytest.param(
            make_pod(node_selector={ZONE: "us-east-1c"}),
            replace(M5_ONLY, zones=frozenset({"us-east-1a"})),
            ["m5.large could hold it, but the policy does not list zone us-east-1c"],
            id="a zone that the pod asks for",
        ),
    ],
)
def test_a_hint_names_what_one_rule_alone_keeps_from_the_pod(
    pod: Pod, rules: PlanRules, hints: list[str]
) -> None:
    assert hinted(pod, rules) == hints


def test_a_disk_that_is_too_small_on_all_nodes_says_so_and_hints_at_no_type() -> None:
    pod = replace(
        make_pod(), requests=replace(make_resources(cpu=1000), ephemeral_storage_bytes=100 * 1024**3)
    )
    found = told(pod, M5_ONLY)
    assert found[0] == (
        "needs 100 GiB of ephemeral storage: new nodes have a disk of 20 GiB, of which 17 are for pods"
    )
    assert not hinted(pod, M5_ONLY)


def test_what_no_type_has_is_not_told_as_too_large_and_huge_pages_are_told_in_mib() -> None:
    pages = Resources(cpu_millicores=100, extended={"hugepages-2Mi": 512 * 1024**2})
    found = told(replace(make_pod(), requests=pages), M5_ONLY)
    assert found[0] == "needs 512 MiB of hugepages-2Mi, and no allowed instance type has any"
