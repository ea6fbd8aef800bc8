"""Volumes: zones, attach limits by driver, and claims that one pod has to itself."""

from typing import Any

import pytest

from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import Node, NodeSelectorTerm, Operator, Pod, Requirement, Volume
from tests.builders import HOSTNAME, ZONE, make_node, make_pod

IN_ZONE_B = (NodeSelectorTerm((Requirement(ZONE, Operator.IN, ("us-east-1b",)),)),)
CONFLICT = "node(s) had volume node affinity conflict"
NO_ZONE = "node(s) had no available volume zone"
TOO_MANY = "node(s) exceed max volume count"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


def claim(name: str = "data", **fields: Any) -> Volume:
    return Volume("shop", name, **({"is_bound": True} | fields))


def uses(name: str, *claims: str, **fields: Any) -> Pod:
    return make_pod(name, claims=claims, **fields)


@pytest.mark.parametrize(
    ("volume", "reasons"),
    [
        (claim(), ()),
        (claim(node_affinity=IN_ZONE_B), (CONFLICT,)),
        (claim(node_affinity=(NodeSelectorTerm(),)), (CONFLICT,)),
        (claim(is_bound=False), ("pod has unbound immediate PersistentVolumeClaims",)),
        (claim(is_bound=False, wait_for_first_consumer=True), ()),
        (
            claim(is_bound=False, node_affinity=IN_ZONE_B, wait_for_first_consumer=True),
            ("node(s) didn't find available persistent volumes to bind",),
        ),
        (claim("else"), ('persistentvolumeclaim "data" not found',)),
        (claim(refusal="is being deleted"), ('persistentvolumeclaim "data" is being deleted',)),
    ],
)
def test_volumes(volume: Volume, reasons: tuple[str, ...]) -> None:
    view = ClusterView([make_node()], volumes=[volume])
    assert view.reasons_against(uses("new", "data"), "node-1") == reasons
    assert view.fits(uses("new", "data"), "node-1") is not bool(reasons)


OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("key", "zones", "labels", "is_reached"),
    [
        (ZONE, ("a",), {ZONE: "a"}, True),
        (ZONE, ("a",), {ZONE: "b"}, False),
        (ZONE, ("a", "b"), {ZONE: "b"}, True),
        pytest.param(OLD_ZONE, ("a",), {ZONE: "a"}, True, id="an old key meets the new one"),
        pytest.param(ZONE, ("a",), {OLD_ZONE: "a"}, False, id="but not the other way"),
        pytest.param(ZONE, ("a",), {HOSTNAME: "n"}, True, id="a cluster that knows no zones"),
    ],
)
def test_zones_in_a_volumes_labels(
    key: str, zones: tuple[str, ...], labels: dict[str, str], *, is_reached: bool
) -> None:
    node = Node("n", make_node().allocatable, 10, labels=labels)
    view = ClusterView([node], volumes=[claim(zone_labels=(Requirement(key, Operator.IN, zones),))])
    assert view.reasons_against(uses("new", "data"), "n") == (() if is_reached else (NO_ZONE,))


def test_claims_are_no_constraint_where_no_volume_is_known() -> None:
    assert ClusterView([make_node()]).fits(uses("new", "data"), "node-1")


def test_a_node_attaches_so_many_volumes_and_a_shared_one_once() -> None:
    view = ClusterView([make_node(attachable_volumes=1)], [uses("old", "data", node="node-1")])
    assert view.fits(uses("new", "data"), "node-1")
    assert view.reasons_against(uses("new", "more"), "node-1") == (TOO_MANY,)
    view.remove("shop/old")
    assert view.fits(uses("new", "more"), "node-1")
    assert not view.fits(uses("new", "more", "data"), "node-1")


@pytest.mark.parametrize(
    ("node", "driver", "fits"),
    [
        pytest.param({}, "ebs.csi.aws.com", True, id="no limit is known"),
        pytest.param({"attachable_volumes": 1}, "ebs.csi.aws.com", False, id="of the node, for EBS"),
        pytest.param({"attachable_volumes": 1}, None, False, id="an unknown driver is taken for EBS"),
        pytest.param({"attachable_volumes": 1}, "efs.csi.aws.com", True, id="not for another driver"),
        pytest.param({"attachable_volumes": 1}, "", True, id="nothing to attach"),
        pytest.param({"volume_limits": {"efs.csi.aws.com": 1}}, "efs.csi.aws.com", False, id="its own limit"),
        pytest.param(
            {"volume_limits": {"efs.csi.aws.com": 1}}, "ebs.csi.aws.com", True, id="another's limit"
        ),
        pytest.param(
            {"attachable_volumes": 1, "volume_limits": {"ebs.csi.aws.com": 2}},
            "ebs.csi.aws.com",
            True,
            id="the driver knows better than the node",
        ),
    ],
)
def test_limits_are_per_driver(node: dict[str, Any], driver: str | None, *, fits: bool) -> None:
    volumes = [claim("old", driver=driver), claim("new", driver=driver)]
    view = ClusterView([make_node(**node)], [uses("old", "old", node="node-1")], volumes=volumes)
    assert view.fits(uses("new", "new"), "node-1") is fits


def test_more_than_the_limit_bars_only_those_who_bring_volumes_of_that_driver() -> None:
    volumes = [claim("a"), claim("b"), claim("c", driver="efs.csi.aws.com")]
    view = ClusterView(
        [make_node(attachable_volumes=1)], [uses("old", "a", "b", node="node-1")], volumes=volumes
    )
    assert view.fits(make_pod("none"), "node-1")
    assert view.fits(uses("same", "a"), "node-1")
    assert view.fits(uses("efs", "c"), "node-1")


def test_a_claim_for_one_pod_bars_a_second_one_everywhere_until_the_first_goes() -> None:
    nodes = [make_node("a"), make_node("b")]
    view = ClusterView(nodes, [uses("first", "data", node="a")], volumes=[claim(single_pod=True)])
    for name in ("a", "b"):
        assert view.reasons_against(uses("second", "data"), name) == (IN_USE,)
    assert view.fits(uses("other", "data", namespace="bank"), "a") is False  # no such claim there
    view.remove("shop/first")
    assert view.fits(uses("second", "data"), "b")
