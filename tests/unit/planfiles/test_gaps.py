"""What the input lacks is told where the plan depends on it, and nowhere else."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.plan import EXAMPLES
from deploy.planfiles.gaps import gaps
from shared.kernel.kubernetes import parse_objects

ROOT = Path(__file__).resolve().parents[3]
Raw = dict[str, Any]
HOST = "kubernetes.io/hostname"
SHORT = {
    "no": "Node",
    "po": "Pod",
    "deploy": "Deployment",
    "rs": "ReplicaSet",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "jobs": "Job",
    "pdb": "PodDisruptionBudget",
    "pvc": "PersistentVolumeClaim",
    "pv": "PersistentVolume",
    "sc": "StorageClass",
    "csinodes": "CSINode",
    "ns": "Namespace",
}
"""As kubectl calls them."""


def named(kind: str, name: str, namespace: str | None = "shop", **parts: Any) -> Raw:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, **parts}


def pod(name: str = "web-0", *, node: str | None = None, owner: str | None = None, **spec: Any) -> Raw:
    found = named("Pod", name, spec={"containers": [{"name": "c"}], "nodeName": node, **spec})
    if owner:
        found["metadata"]["ownerReferences"] = [{"kind": owner, "name": "web", "controller": True}]
    return found


def with_claim(name: str = "data") -> Raw:
    return {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}


def choosing(selector: Raw) -> Raw:
    term = {"topologyKey": HOST, "labelSelector": {}, "namespaceSelector": selector}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def claim(phase: str = "Pending", **spec: Any) -> Raw:
    return named("PersistentVolumeClaim", "data", spec=spec, status={"phase": phase})


NODE = named("Node", "n1", None, spec={"providerID": "aws:///us-east-1a/i-0123456789abcdef0"}, status={})
CSI_NODE = named(
    "CSINode", "n1", None, spec={"drivers": [{"name": "ebs.csi.aws.com", "allocatable": {"count": 25}}]}
)
BY_TEAM: Raw = {"matchLabels": {"team": "a"}}
PV = named("PersistentVolume", "pv-1", None, spec={"csi": {"driver": "ebs.csi.aws.com"}})
CLASS = named(
    "StorageClass", "gp3", None, provisioner="ebs.csi.aws.com", volumeBindingMode="WaitForFirstConsumer"
)
BUDGET = named("PodDisruptionBudget", "web", spec={"maxUnavailable": 1})


@pytest.mark.parametrize(
    ("items", "added", "words"),
    [
        pytest.param(
            [pod(**choosing(BY_TEAM))],
            named("Namespace", "shop", None),
            ("shop (kubectl get namespaces)",),
            id="namespace",
        ),
        pytest.param(
            [pod(**with_claim()), claim(storageClassName="gp3")],
            CLASS,
            ("shop/data asks for storage class gp3, which is not known (kubectl get storageclasses)",),
            id="class",
        ),
        pytest.param(
            [pod(**with_claim()), claim()],
            {
                **CLASS,
                "metadata": {
                    "name": "x",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
            },
            ("shop/data asks for the default storage class", "(kubectl get storageclasses)"),
            id="default class",
        ),
        pytest.param(
            [pod(**with_claim()), claim("Bound", volumeName="pv-1")],
            PV,
            ("shop/data (kubectl get pv)",),
            id="volume",
        ),
        pytest.param(
            [pod(**with_claim("other")), pod("web-1", **with_claim()), claim("Bound", volumeName="pv-1"), PV],
            {**claim("Bound", volumeName="pv-1"), "metadata": {"name": "other", "namespace": "shop"}},
            ("shop/other (kubectl get pvc)",),
            id="claim",
        ),
        pytest.param(
            [NODE, pod(**with_claim()), claim("Bound", volumeName="pv-1"), PV],
            CSI_NODE,
            ("no limit is kept to: n1 (kubectl get csinodes)",),
            id="limits",
        ),
        pytest.param(
            [pod(owner="StatefulSet")],
            named("StatefulSet", "web", spec={}),
            ("shop/StatefulSet/web (kubectl get deployments,",),
            id="controller",
        ),
        pytest.param(
            [NODE, pod(node="n1")],
            BUDGET,
            ("no disruption budget in the input", "(kubectl get pdb)"),
            id="budget",
        ),
    ],
)
def test_what_the_plan_depends_on_is_told_until_it_is_there(
    items: list[Raw], added: Raw, words: tuple[str, ...]
) -> None:
    (sentence,) = gaps(parse_objects(items))
    assert sentence.endswith(".")
    assert all(part in sentence for part in words)
    assert gaps(parse_objects([*items, added])) == ()


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([], id="nothing"),
        pytest.param([pod(), claim(storageClassName="gp3")], id="a claim of no pod"),
        pytest.param([pod(**with_claim()), claim(storageClassName="")], id="no class asked for"),
        pytest.param([pod(**choosing({}))], id="all namespaces"),
        pytest.param([NODE, BUDGET, pod()], id="no volumes, no limits"),
        pytest.param([pod(owner="Rollout")], id="a controller of another kind"),
        pytest.param([pod(owner="Job") | {"status": {"phase": "Succeeded"}}], id="done"),
    ],
)
def test_what_nothing_depends_on_is_not_missed(items: list[Raw]) -> None:
    assert gaps(parse_objects(items)) == ()


def test_a_claim_refused_for_another_reason_lacks_no_class() -> None:
    found = parse_objects([pod(**with_claim()), claim(storageClassName="")])
    (volume,) = found.volumes
    assert gaps(replace(found, volumes=(replace(volume, refusal="asks for more than there is"),))) == ()


def test_many_names_are_counted() -> None:
    pods = [named("Pod", "x", f"n{i}", spec=choosing(BY_TEAM) | {"containers": []}) for i in range(5)]
    (sentence,) = gaps(parse_objects(pods))
    assert "n0, n1, n2 and 2 more" in sentence


@pytest.mark.parametrize(
    "text", [EXAMPLES, (ROOT / "README.md").read_text(), (ROOT / "docs/data.md").read_text()]
)
def test_the_documented_command_asks_for_every_kind_that_is_read(text: str) -> None:
    asked = re.search(r"kubectl get (no,po\S+)", text)
    assert asked is not None
    assert [SHORT[kind] for kind in asked[1].split(",")] == list(SHORT.values())


def test_help_and_readme_ask_alike() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    for command in re.findall(r"^  ((?:kubectl|aws) .*\n.*)$", EXAMPLES, re.MULTILINE):
        assert " ".join(command.split()) in readme
