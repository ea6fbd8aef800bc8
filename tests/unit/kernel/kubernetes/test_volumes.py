"""Claims: what their volumes, or the classes that will make those, demand of a node."""

from typing import Any

import pytest

from shared.kernel.kubernetes import parse_volume
from shared.kernel.scheduling import selectors
from shared.kernel.workload import NodeSelectorTerm, Operator, Requirement, Volume
from tests.builders import ZONE, make_node

Raw = dict[str, Any]

IN_A: Raw = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]}
TERM_A = NodeSelectorTerm((Requirement(ZONE, Operator.IN, ("a",)),))
LATER: Raw = {
    "metadata": {"name": "gp3"},
    "provisioner": "ebs.csi.aws.com",
    "volumeBindingMode": "WaitForFirstConsumer",
}
BY_HAND: Raw = LATER | {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}


def raw_claim(*, phase: str = "", metadata: Raw | None = None, **spec: Any) -> Raw:
    return {
        "metadata": {"name": "data", "namespace": "shop", **(metadata or {})},
        "spec": spec,
        "status": {"phase": phase} if phase else {},
    }


def raw_volume(name: str = "pv", *, labels: Raw | None = None, **spec: Any) -> Raw:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def on_nodes(*terms: Raw) -> Raw:
    return {"required": {"nodeSelectorTerms": list(terms)}}


def reaches(volume: Volume, **labels: str) -> bool:
    return selectors.any_term_selects(volume.node_affinity, make_node(labels=labels))


def test_a_bound_claim_demands_what_its_volume_does() -> None:
    bound = raw_claim(volumeName="pv")
    volume = parse_volume(bound, raw_volume(nodeAffinity=on_nodes(IN_A)))
    assert volume.is_bound
    assert volume.node_affinity == (TERM_A,)
    assert parse_volume(bound, raw_volume()).node_affinity == ()
    assert parse_volume(bound, raw_volume(nodeAffinity=on_nodes())).node_affinity == (NodeSelectorTerm(),)


def test_a_volume_of_old_names_its_zones_in_a_label_beside_its_affinity() -> None:
    old = raw_volume(labels={ZONE: "a__b"}, nodeAffinity=on_nodes(IN_A))
    volume = parse_volume(raw_claim(phase="Bound", volumeName="pv"), old)
    assert volume.zone_labels == (Requirement(ZONE, Operator.IN, ("a", "b")),)
    assert volume.node_affinity == (TERM_A,)


@pytest.mark.parametrize(
    ("claim", "is_bound", "waits"),
    [
        pytest.param(raw_claim(), False, True, id="unbound"),
        pytest.param(raw_claim(phase="Pending"), False, True, id="pending"),
        pytest.param(raw_claim(phase="Bound", volumeName="pv"), True, False, id="bound to what is not shown"),
        pytest.param(raw_claim(phase="Pending", volumeName="pv"), False, False, id="named, not bound yet"),
    ],
)
def test_an_unbound_claim_follows_its_class(claim: Raw, *, is_bound: bool, waits: bool) -> None:
    rules = LATER | {"allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]}
    volume = parse_volume(claim, None, rules)
    assert (volume.is_bound, volume.wait_for_first_consumer) == (is_bound, waits)
    assert volume.node_affinity == ((TERM_A,) if waits else ())


def test_a_claim_whose_volume_is_in_the_making_stays_on_the_node_chosen() -> None:
    chosen = raw_claim(metadata={"annotations": {"volume.kubernetes.io/selected-node": "node-1"}})
    rules = LATER | {"allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]}
    for volume in (parse_volume(chosen, None, LATER), parse_volume(chosen, None, rules)):
        assert selectors.any_term_selects(volume.node_affinity, make_node("node-1", zone="a"))
        assert not selectors.any_term_selects(volume.node_affinity, make_node("node-2", zone="a"))
    volume = parse_volume(chosen, None, rules)
    assert not selectors.any_term_selects(volume.node_affinity, make_node("node-1", zone="b"))


@pytest.mark.parametrize(
    ("other", "serves"),
    [
        pytest.param({}, True, id="free"),
        pytest.param({"claimRef": {"name": "x"}}, False, id="taken"),
        pytest.param({"storageClassName": "gp3"}, False, id="of another class"),
        pytest.param({"capacity": {"storage": "1Gi"}}, False, id="too small"),
        pytest.param({"accessModes": ["ReadOnlyMany"]}, False, id="another way to mount it"),
        pytest.param({"volumeMode": "Block"}, False, id="a raw device"),
    ],
)
def test_a_class_that_makes_no_volumes_needs_one_that_is_free(other: Raw, *, serves: bool) -> None:
    claim = raw_claim(accessModes=["ReadWriteOnce"], resources={"requests": {"storage": "5Gi"}})
    spec: Raw = {
        "storageClassName": "local",
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "nodeAffinity": on_nodes(IN_A),
    }
    volume = parse_volume(claim, None, BY_HAND, others=[raw_volume(**spec | other)])
    assert reaches(volume, **{ZONE: "a"}) is serves
    assert not reaches(volume, **{ZONE: "b"})
    anywhere = {k: v for k, v in (spec | other).items() if k != "nodeAffinity"}
    assert reaches(parse_volume(claim, None, BY_HAND, others=[raw_volume(**anywhere)])) is serves
    assert not reaches(parse_volume(claim, None, BY_HAND))


def test_a_claim_may_choose_among_volumes_by_label() -> None:
    claim = raw_claim(selector={"matchLabels": {"disk": "ssd"}})
    fast, slow = (raw_volume(labels={"disk": kind}, storageClassName="local") for kind in ("ssd", "hdd"))
    assert reaches(parse_volume(claim, None, BY_HAND, others=[fast]))
    assert not reaches(parse_volume(claim, None, BY_HAND, others=[slow]))


@pytest.mark.parametrize(
    ("volume", "storage_class", "driver"),
    [
        pytest.param(raw_volume(csi={"driver": "efs.csi.aws.com"}), LATER, "efs.csi.aws.com", id="csi"),
        pytest.param(raw_volume(awsElasticBlockStore={}), LATER, "ebs.csi.aws.com", id="old EBS"),
        pytest.param(raw_volume(nfs={}), LATER, "", id="attached by no driver"),
        pytest.param(None, LATER, "ebs.csi.aws.com", id="by class"),
        pytest.param(
            None, LATER | {"provisioner": "kubernetes.io/aws-ebs"}, "ebs.csi.aws.com", id="by an old class"
        ),
        pytest.param(None, BY_HAND, "", id="made by hand"),
        pytest.param(None, None, None, id="unknown"),
    ],
)
def test_the_driver_that_attaches_it(
    volume: Raw | None, storage_class: Raw | None, driver: str | None
) -> None:
    assert parse_volume(raw_claim(), volume, storage_class).driver == driver


@pytest.mark.parametrize(
    ("claim", "refusal"),
    [
        (raw_claim(phase="Pending", volumeName="pv"), None),
        (raw_claim(phase="Pending", storageClassName=""), None),
        (raw_claim(phase="Pending"), "asks for the default storage class, and none is known"),
        (raw_claim(storageClassName="gp3"), "asks for storage class gp3, which is not known"),
        (raw_claim(phase="Bound", volumeName="pv"), "is bound to a persistentvolume that is not known"),
        (raw_claim(phase="Lost", volumeName="pv"), "bound to non-existent persistentvolume"),
        (raw_claim(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "is being deleted"),
    ],
)
def test_claims_that_no_new_pod_may_use(claim: Raw, refusal: str | None) -> None:
    assert parse_volume(claim).refusal == refusal


def test_a_claim_for_one_pod_only() -> None:
    assert parse_volume(raw_claim(accessModes=["ReadWriteOncePod"])).single_pod
    assert not parse_volume(raw_claim(accessModes=["ReadWriteOnce"])).single_pod
