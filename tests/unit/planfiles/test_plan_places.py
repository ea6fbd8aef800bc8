"""Where `spotopt plan` launches, by what it is told and what the nodes tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.planfiles.command import cluster, node, pod, prices, run


def launched_in(tmp_path: Path, items: list[dict[str, Any]], *options: str | Path) -> tuple[set[str], str]:
    """Give the zones of new nodes, and all notes."""
    told = run(
        "--cluster",
        cluster(tmp_path, items),
        "--on-demand-prices",
        prices(tmp_path),
        *options,
        "-o",
        "json",
    )
    document = json.loads(told.stdout)
    return {n["zone"] for n in document["nodes"] if n["existing"] is None}, " ".join(document["notes"])


def spread_over_zones(name: str) -> dict[str, Any]:
    found = pod(name, cpu="3")
    rule = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    found["metadata"]["labels"] = {"app": "web"}
    found["spec"]["topologySpreadConstraints"] = [{**rule, "labelSelector": {"matchLabels": {"app": "web"}}}]
    return found


@pytest.mark.parametrize("mode", [(), ("--greenfield",)])
def test_new_nodes_go_to_the_zones_of_todays_nodes_unless_zones_are_named(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    second = node("b")
    second["metadata"]["labels"]["topology.kubernetes.io/zone"] = "us-east-1c"
    items = [node("a"), second, *(spread_over_zones(f"web-{i}") for i in range(6))]
    zones, notes = launched_in(tmp_path, items, *mode)
    assert zones == {"us-east-1a", "us-east-1c"}
    assert "in the zones of today's nodes (us-east-1a, us-east-1c)" in notes
    policy = tmp_path / "policy.yaml"
    policy.write_text("zones: [us-east-1a, us-east-1b, us-east-1c]\n")
    zones, notes = launched_in(tmp_path, items, "--policy", policy, *mode)
    assert "us-east-1b" in zones
    assert "today's nodes" not in notes


def test_a_node_where_nothing_new_may_be_launched_has_a_price_all_the_same(tmp_path: Path) -> None:
    zones, notes = launched_in(tmp_path, [node("a"), pod("web", node="a")], "--zones", "us-east-1b")
    assert zones == {"us-east-1b"}
    assert "no price is known" not in notes


def test_a_region_in_which_no_node_runs_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    result = run("--cluster", cluster(tmp_path, [node("a")]), "--region", "eu-west-1")
    assert result.exit_code == 2
    assert "--region is eu-west-1, but by their labels the nodes run in us-east-1 (1 node)." in result.stderr
