"""`spotopt plan --node-template`: what new nodes have besides what follows from their type and zone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.planfiles.command import cluster, node, pod, prices, run

CPU = "karpenter.k8s.aws/instance-cpu"


def planned(folder: Path, items: list[dict[str, Any]], written: str | None = None) -> dict[str, Any]:
    options: list[str | Path] = [
        *("--cluster", cluster(folder, items), "--region", "us-east-1", "-o", "json", "--greenfield"),
        *("--on-demand-prices", prices(folder)),
    ]
    if written is not None:
        (folder / "nodes.yaml").write_text(written)
        options += ["--node-template", folder / "nodes.yaml"]
    result = run(*options)
    assert result.exit_code in (0, 3), result.output
    return dict(json.loads(result.stdout))


def asking(**spec: Any) -> dict[str, Any]:
    found = pod("web")
    found["spec"] |= spec
    return found


def comparing(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": [item]} for item in expressions]
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    }


MANY_CPUS = comparing({"key": CPU, "operator": "Gt", "values": ["3"]})


@pytest.mark.parametrize(
    ("spec", "written", "asked"),
    [
        pytest.param({"nodeSelector": {"team": "a"}}, "labels: {team: a}", "team=a", id="label"),
        pytest.param(
            {"nodeSelector": {"karpenter.sh/nodepool": "batch"}},
            "node_pool: batch",
            "karpenter.sh/nodepool=batch",
            id="node pool",
        ),
        pytest.param(
            comparing({"key": "karpenter.sh/nodepool", "operator": "In", "values": ["batch"]}),
            "{node_pool: batch}",
            "karpenter.sh/nodepool",
            id="node pool by affinity",
        ),
        pytest.param(MANY_CPUS, "karpenter: true", CPU, id="Karpenter's labels"),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"requests": {"ephemeral-storage": "50Gi"}}}]},
            "disk_gib: 80",
            "ephemeral storage",
            id="disk",
        ),
    ],
)
def test_a_pod_without_a_place_is_told_what_would_give_it_one(
    tmp_path: Path, spec: dict[str, Any], written: str, asked: str
) -> None:
    without = planned(tmp_path, [asking(**spec)])
    assert [u["pod"] for u in without["unplaced"]] == ["shop/web"]
    (note,) = [n for n in without["notes"] if "--node-template" in n]
    assert f"shop/web ({asked})" in note
    told = planned(tmp_path, [asking(**spec)], written)
    assert told["unplaced"] == []
    assert not any("--node-template" in n for n in told["notes"])


def test_taints_keep_pods_off_new_nodes(tmp_path: Path) -> None:
    written = "taints: [{key: team, value: a, effect: NoSchedule}]"
    assert len(planned(tmp_path, [asking()], written)["unplaced"]) == 1
    tolerant = asking(tolerations=[{"key": "team", "operator": "Exists"}])
    assert planned(tmp_path, [tolerant], written)["unplaced"] == []


@pytest.mark.parametrize(
    ("labels", "written", "unplaced"),
    [
        pytest.param({CPU: "4"}, None, 0, id="seen"),
        pytest.param({CPU: "4"}, "karpenter: false", 1, id="said not to be"),
        pytest.param({"karpenter.sh/nodepool": "default"}, None, 1, id="a node pool is no proof"),
    ],
)
def test_karpenters_labels_are_given_where_it_labelled_todays_nodes(
    tmp_path: Path, labels: dict[str, str], written: str | None, unplaced: int
) -> None:
    today = node("a")
    today["metadata"]["labels"] |= labels
    plan = planned(tmp_path, [today, asking(**MANY_CPUS)], written)
    assert len(plan["unplaced"]) == unplaced
    assert unplaced or {n["instance_type"] for n in plan["nodes"]} == {"m5.xlarge"}


def test_what_a_node_template_would_not_help_is_not_advised(tmp_path: Path) -> None:
    huge, elsewhere = pod("huge", cpu="300"), asking(nodeSelector={"topology.kubernetes.io/zone": "moon-1a"})
    either = asking(
        **comparing({"key": "team", "operator": "Exists"}, {"key": "kubernetes.io/os", "operator": "Exists"})
    )
    either["metadata"]["name"] = "either"
    either["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "300"
    plan = planned(tmp_path, [huge, elsewhere, either])
    assert len(plan["unplaced"]) == 3
    assert not any("--node-template" in n for n in plan["notes"])


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("lables: {a: b}", "a node template has no field lables; did you mean labels?"),
        ("labels: {gpu: true}", "labels.gpu: it must be text: put it in quotes."),
        ("labels: {karpenter.sh/nodepool: a}", "labels: karpenter.sh/nodepool is what node_pool says."),
        (
            "labels: {kubernetes.io/arch: arm64}",
            "kubernetes.io/arch follows from the type and the zone of a node.",
        ),
        (f"labels: {{{CPU}: '4'}}", "follows from the type and the zone of a node."),
        ("taints: [{key: a}]", "taints.0.effect: it must be given."),
        ("taints: [{key: a, effect: Never}]", "taints.0.effect: "),
        ("disk_gib: 0", "disk_gib: "),
        ("[]", "is not a node template: it must be a mapping"),
    ],
)
def test_a_wrong_node_template_is_one_sentence_and_status_2(tmp_path: Path, written: str, why: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(written)
    given = ("--cluster", cluster(tmp_path, [pod("a")]), "--greenfield", "--region", "us-east-1")
    result = run(*given, "--node-template", path)
    assert result.exit_code == 2
    (sentence,) = result.stderr.strip().splitlines()
    assert why in sentence
    assert sentence.endswith((".", "?"))
