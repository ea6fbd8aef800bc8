"""Nodes: what labels, provider ids and conditions mean."""

import pytest

from shared.kernel.kubernetes import KubernetesObjectError, parse_node
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources
from shared.kernel.workload import Taint, TaintEffect
from tests.unit.kernel.kubernetes.raw import raw_node


def test_an_eks_node() -> None:
    node = parse_node(
        raw_node(
            metadata={
                "labels": {
                    "node.kubernetes.io/instance-type": "m5.xlarge",
                    "topology.kubernetes.io/zone": "us-east-1a",
                    "topology.k8s.aws/zone-id": "use1-az4",
                    "eks.amazonaws.com/capacityType": "SPOT",
                    "eks.amazonaws.com/nodegroup": "main",
                },
                "annotations": {"karpenter.sh/do-not-disrupt": "true"},
            },
            providerID="aws:///us-east-1a/i-0123456789abcdef0",
            unschedulable=True,
            taints=[{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}],
            status={
                "allocatable": {
                    "cpu": "3920m",
                    "memory": "15Gi",
                    "pods": "58",
                    "attachable-volumes-aws-ebs": "25",
                },
                "capacity": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1", "hugepages-2Mi": "0"},
                "conditions": [{"type": "Ready", "status": "Unknown"}],
            },
        )
    )
    assert node.allocatable == Resources(3920, 15 * 2**30)
    assert node.capacity == Resources(4000, 16 * 2**30, 0, {"nvidia.com/gpu": 1})
    assert (node.max_pods, node.attachable_volumes) == (58, 25)
    assert (node.instance_id, node.instance_type) == ("i-0123456789abcdef0", "m5.xlarge")
    assert (node.zone, node.zone_id, node.node_pool) == ("us-east-1a", "use1-az4", "main")
    assert node.capacity_type is CapacityType.SPOT
    assert node.taints == (Taint("dedicated", TaintEffect.NO_SCHEDULE, "ml"),)
    assert node.is_unschedulable
    assert not node.is_ready
    assert node.do_not_disrupt


@pytest.mark.parametrize(
    ("label", "value", "capacity_type"),
    [
        ("karpenter.sh/capacity-type", "spot", CapacityType.SPOT),
        ("karpenter.sh/capacity-type", "on-demand", CapacityType.ON_DEMAND),
        ("karpenter.sh/capacity-type", "reserved", CapacityType.RESERVED),
        ("eks.amazonaws.com/capacityType", "ON_DEMAND", CapacityType.ON_DEMAND),
        ("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", CapacityType.RESERVED),
        ("eks.amazonaws.com/capacityType", "else", None),
        ("other", "spot", None),
    ],
)
def test_capacity_type(label: str, value: str, capacity_type: CapacityType | None) -> None:
    assert parse_node(raw_node(metadata={"labels": {label: value}})).capacity_type is capacity_type


@pytest.mark.parametrize(
    "provider_id", ["", "aws:///x/fargate-10.0.0.1", "k3s://node", "gce://p/z/i-01234567"]
)
def test_what_is_no_ec2_instance_has_no_instance_id(provider_id: str) -> None:
    assert parse_node(raw_node(providerID=provider_id)).instance_id is None


def test_readiness_is_what_the_kubelet_says_and_trusted_where_nothing_is_said() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    assert parse_node(raw_node(status={"conditions": ready})).is_ready
    assert not parse_node(raw_node(status={"conditions": []})).is_ready
    assert parse_node(raw_node()).is_ready


def test_a_bad_amount_is_named() -> None:
    with pytest.raises(KubernetesObjectError, match=r'^node node-1: cpu allocatable "x" is not a quantity$'):
        parse_node(raw_node(status={"allocatable": {"cpu": "x"}}))
