"""The judge itself: it stays silent about what is right, and names each rule that is broken."""

from typing import Any

import pytest

from tests import verifier
from tests.builders import HOSTNAME, ZONE

Raw = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB: Raw = {"labelSelector": {"matchLabels": {"app": "web"}}}


def node(name: str, zone: str = "a", **spec: Any) -> Raw:
    return {
        "metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: zone}},
        "spec": spec,
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "2"}},
    }


def pod(name: str, cpu: str = "500m", **spec: Any) -> Raw:
    container = {"name": "main", "resources": {"requests": {"cpu": cpu}}} | spec.pop("container", {})
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


APART: Raw = {"affinity": {"podAntiAffinity": {REQUIRED: [WEB | {"topologyKey": ZONE}]}}}
TOGETHER: Raw = {"affinity": {"podAffinity": {REQUIRED: [WEB | {"topologyKey": HOSTNAME}]}}}
EVENLY: Raw = {"topologySpreadConstraints": [WEB | {"topologyKey": ZONE, "maxSkew": 1}]}
PORT: Raw = {"container": {"ports": [{"hostPort": 80}]}}
CLAIM: Raw = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}


@pytest.mark.parametrize(
    ("pods", "placement", "rules"),
    [
        pytest.param([pod("p"), pod("q")], {"p": "n1", "q": "n2"}, set(), id="fine"),
        pytest.param([pod("p"), pod("q", "1600m")], {"p": "n1", "q": "n1"}, {"resource"}, id="cpu"),
        pytest.param([pod(p, "0") for p in "pqr"], dict.fromkeys("pqr", "n1"), {"pods"}, id="too many pods"),
        pytest.param([pod("p"), pod("q", "9")], {"p": "n1"}, set(), id="what is not placed is not judged"),
        pytest.param([pod("p", nodeSelector={ZONE: "b"})], {"p": "n1"}, {"node selector"}, id="selector"),
        pytest.param([pod("p")], {"p": "n3"}, {"taint"}, id="taint"),
        pytest.param([pod("p")], {"p": "n9"}, {"unknown node"}, id="no such node"),
        pytest.param([pod("p", **PORT), pod("q", **PORT)], {"p": "n1", "q": "n1"}, {"host port"}, id="port"),
        pytest.param([pod("p", **APART), pod("q")], {"p": "n1", "q": "n1"}, {"anti-affinity"}, id="apart"),
        pytest.param([pod("p", **TOGETHER), pod("q")], {"p": "n1", "q": "n2"}, {"affinity"}, id="together"),
        pytest.param([pod("p", **TOGETHER)], {"p": "n1"}, set(), id="alone in its group"),
        pytest.param(
            [pod("p", **EVENLY), pod("q", **EVENLY)], {"p": "n1", "q": "n1"}, {"spread"}, id="uneven"
        ),
        pytest.param([pod("p", **EVENLY), pod("q", **EVENLY)], {"p": "n1", "q": "n2"}, set(), id="even"),
        pytest.param([pod("p", **CLAIM)], {"p": "n1"}, {"volume"}, id="volume in another zone"),
        pytest.param([pod("p", **CLAIM)], {"p": "n2"}, set(), id="volume in its zone"),
    ],
)
def test_rules(pods: list[Raw], placement: dict[str, str], rules: set[str]) -> None:
    nodes = [node("n1"), node("n2", "b"), node("n3", "b", taints=[{"key": "x", "effect": "NoSchedule"}])]
    in_b = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]}
    found = verifier.violations(
        nodes,
        pods,
        {f"shop/{name}": where for name, where in placement.items()},
        claims=[{"metadata": {"name": "data", "namespace": "shop"}, "spec": {"volumeName": "pv"}}],
        volumes=[
            {
                "metadata": {"name": "pv"},
                "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [in_b]}}},
            }
        ],
    )
    assert {violation.rule for violation in found} == rules
