"""What a node will offer that does not exist yet: pods, volumes, memory, labels."""

from typing import Any

import pytest

from services.optimizer.domain.allocatable import (
    allocatable,
    attachable_volumes,
    candidate_node,
    pods_per_node,
)
from services.optimizer.domain.rules import Template, Zone
from shared.kernel.capacity import AmiFamily
from shared.kernel.scheduling import selectors
from shared.kernel.workload import NodeSelectorTerm, Operator, Requirement
from tests.builders import make_instance_type, make_pool

ZONES = (Zone("us-east-1a", "use1-az1"),)
MIB = 2**20


@pytest.mark.parametrize(
    ("template", "instance_type", "pods"),
    [
        pytest.param({}, {}, 58, id="addresses of the interfaces"),
        pytest.param({"prefix_delegation": True}, {}, 110, id="prefixes, as EKS recommends"),
        pytest.param({"prefix_delegation": True}, {"vcpus": 48}, 250, id="prefixes of a large type"),
        pytest.param({"prefix_delegation": True}, {"max_pods": 4}, 34, id="prefixes of a tiny type"),
        pytest.param({"prefix_delegation": True}, {"is_nitro": False}, 58, id="too old for prefixes"),
        pytest.param({"max_pods": 30}, {}, 30, id="as the launch template says"),
        pytest.param({"max_pods": 200, "prefix_delegation": True}, {}, 200, id="which comes first"),
    ],
)
def test_pods_per_node(template: dict[str, Any], instance_type: dict[str, Any], pods: int) -> None:
    written = Template(ZONES, **template)
    kind = make_instance_type(**instance_type)
    assert pods_per_node(kind, written) == pods
    node = candidate_node(kind, make_pool(), name="n", architecture="amd64", template=written)
    assert node.max_pods == pods


def test_memory_is_kept_for_the_larger_number_of_pods() -> None:
    kind = make_instance_type()
    usual = allocatable(kind, architecture="amd64").memory_bytes
    assert allocatable(kind, architecture="amd64", max_pods=30).memory_bytes == usual
    assert allocatable(kind, architecture="amd64", max_pods=110).memory_bytes == usual - 52 * 11 * MIB


@pytest.mark.parametrize(
    ("max_pods", "more_mib"),
    [
        pytest.param(None, 0, id="as many pods as addresses"),
        pytest.param(58, 0, id="the same said"),
        pytest.param(30, 28 * 11, id="fewer: no memory is kept for those that never come"),
        pytest.param(110, 0, id="more: both keep it for them"),
    ],
)
def test_bottlerocket_keeps_memory_for_the_pods_that_its_kubelet_takes(
    max_pods: int | None, more_mib: int
) -> None:
    kind = make_instance_type()
    room, amazon_linux = (
        allocatable(kind, architecture="amd64", max_pods=max_pods, ami_family=family)
        for family in (AmiFamily.BOTTLEROCKET, AmiFamily.AL2023)
    )

    assert room.memory_bytes == amazon_linux.memory_bytes + more_mib * MIB
    assert room.cpu_millicores == amazon_linux.cpu_millicores
    assert room.ephemeral_storage_bytes == amazon_linux.ephemeral_storage_bytes


def test_bottlerocket_has_a_disk_more_of_its_own() -> None:
    template = Template(ZONES, ami_family=AmiFamily.BOTTLEROCKET)
    for attachments, volumes in ((None, 23), (27, 24), (1, 0)):
        kind = make_instance_type(ebs_attachments=attachments)
        node = candidate_node(kind, make_pool(), name="n", architecture="amd64", template=template)
        assert node.attachable_volumes == volumes


def test_a_template_of_bottlerocket_plans_with_its_memory() -> None:
    kind = make_instance_type()
    bottlerocket, amazon_linux = (
        candidate_node(
            kind,
            make_pool(),
            name="n",
            architecture="amd64",
            template=Template(ZONES, max_pods=20, ami_family=family),
        )
        for family in (AmiFamily.BOTTLEROCKET, AmiFamily.AL2023)
    )

    assert bottlerocket.allocatable.memory_bytes - amazon_linux.allocatable.memory_bytes == 38 * 11 * MIB
    assert bottlerocket.max_pods == amazon_linux.max_pods == 20


@pytest.mark.parametrize(
    ("facts", "volumes"),
    [
        pytest.param({}, 24, id="unknown"),
        pytest.param({"ebs_attachments": 27}, 25, id="shared with interfaces"),
        pytest.param({"ebs_attachments": 32, "shares_attachments": False}, 31, id="places of their own"),
        pytest.param({"ebs_attachments": 1}, 0, id="never negative"),
    ],
)
def test_volumes_beside_the_root_volume(facts: dict[str, Any], volumes: int) -> None:
    assert attachable_volumes(make_instance_type(**facts)) == volumes


def test_volumes_of_the_ebs_driver_find_their_zone() -> None:
    node = candidate_node(
        make_instance_type(), make_pool(), name="n", architecture="amd64", template=Template(ZONES)
    )
    old = (Requirement("topology.ebs.csi.aws.com/zone", Operator.IN, ("us-east-1a",)),)
    assert selectors.any_term_selects((NodeSelectorTerm(old),), node)
