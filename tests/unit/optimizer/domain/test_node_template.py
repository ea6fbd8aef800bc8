"""What a node template says of new nodes decides which pods find a place on them."""

from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.karpenter_labels import karpenter_labels
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import Template
from shared.kernel.workload import (
    ClusterObjects,
    NodeSelectorTerm,
    Operator,
    Owner,
    Pod,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
    Workload,
)
from tests.builders import make_instance_type, make_pod
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, make_market

GIB = 1024**3
BATCH = Taint("team", TaintEffect.NO_SCHEDULE, "batch")


def planned(pod: Pod, template: Template, *more: Workload) -> PlanDraft:
    objects = ClusterObjects(pods=(pod,), workloads=more)
    return plan(objects, make_market(), ON_DEMAND, template, mode=PlanMode.GREENFIELD)


def compared(key: str, operator: Operator, value: str) -> dict[str, Any]:
    return {"node_affinity": (NodeSelectorTerm((Requirement(key, operator, (value,)),)),)}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param({"node_selector": {"team": "a"}}, {"labels": {"team": "a"}}, id="a label"),
        pytest.param(
            {"node_selector": {"karpenter.sh/nodepool": "batch"}}, {"node_pool": "batch"}, id="a node pool"
        ),
        pytest.param({"disk": 60 * GIB}, {"disk_bytes": 100 * GIB}, id="a disk"),
        pytest.param(
            compared("karpenter.k8s.aws/instance-cpu", Operator.GT, "1"),
            {"by_karpenter": True},
            id="many cores",
        ),
        pytest.param(
            compared("karpenter.k8s.aws/instance-memory", Operator.LT, "1000000"),
            {"by_karpenter": True},
            id="little memory",
        ),
        pytest.param(
            compared("karpenter.k8s.aws/instance-category", Operator.IN, "m"),
            {"by_karpenter": True},
            id="a category",
        ),
    ],
)
def test_a_pod_finds_a_place_once_new_nodes_have_what_it_asks_for(
    asked: dict[str, Any], told: dict[str, Any]
) -> None:
    pod = make_pod("web", **{key: value for key, value in asked.items() if key != "disk"})
    pod = replace(pod, requests=replace(pod.requests, ephemeral_storage_bytes=asked.get("disk", 0)))
    assert [u.pod for u in planned(pod, TEMPLATE).unplaced] == [pod.key]
    assert planned(pod, replace(TEMPLATE, **told)).unplaced == ()


def test_taints_keep_off_what_does_not_tolerate_them_daemons_too() -> None:
    tainted = replace(TEMPLATE, taints=(BATCH,))
    pod = make_pod("web")
    assert [u.pod for u in planned(pod, tainted).unplaced] == [pod.key]
    tolerant = replace(pod, tolerations=(Toleration("team", value="batch"),))
    daemon = replace(make_pod("agent", cpu=1500), owner=Owner("DaemonSet", "agent"))
    agents = Workload("shop", "DaemonSet", "agent", pod_template=daemon)
    with_daemon, without = planned(tolerant, TEMPLATE, agents), planned(tolerant, tainted, agents)
    assert without.unplaced == ()
    # It takes most of a small node where it runs, and nothing where the taint keeps it off.
    assert [n.node.instance_type for n in without.nodes] != [n.node.instance_type for n in with_daemon.nodes]


@pytest.mark.parametrize(
    ("name", "category", "generation"),
    [("m5.large", "m", "5"), ("c7gn.4xlarge", "c", "7"), ("u-6tb1.metal", "u", "1"), ("strange", None, None)],
)
def test_karpenters_labels_follow_from_the_type(
    name: str, category: str | None, generation: str | None
) -> None:
    found = karpenter_labels(make_instance_type(name, vcpus=4, gib=16, gpus={"nvidia.com/gpu": 2}))
    prefix = "karpenter.k8s.aws/instance-"
    assert (found[f"{prefix}cpu"], found[f"{prefix}memory"], found[f"{prefix}gpu-count"]) == (
        "4",
        "16384",
        "2",
    )
    assert (found.get(f"{prefix}category"), found.get(f"{prefix}generation")) == (category, generation)
    assert (found[f"{prefix}family"], found[f"{prefix}size"]) == tuple(name.partition(".")[::2])
