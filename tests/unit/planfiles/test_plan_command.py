"""`spotopt plan`, called as a program would call it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli import plan, plan_output
from deploy.cli.output import Form
from tests.unit.planfiles.command import cluster, node, pod, prices, run


def test_half_empty_nodes_are_given_up(tmp_path: Path) -> None:
    items = [node("a"), node("b"), pod("web-a", node="a"), pod("web-b", node="b")]
    result = run(
        "--cluster",
        cluster(tmp_path, items),
        "--region",
        "us-east-1",
        "--on-demand-prices",
        prices(tmp_path),
        "-o",
        "json",
    )
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["baseline_usd_per_hour"] == pytest.approx(0.384)
    assert document["cost_usd_per_hour"] <= 0.192
    assert sorted(p for n in document["nodes"] for p in n["pods"]) == ["shop/web-a", "shop/web-b"]
    assert document["moves"]
    assert document["solve_seconds"] >= 0


@pytest.mark.parametrize(("created", "moves"), [("2024-02-01T00:00:00Z", 1), (None, 0)])
def test_nodes_are_as_old_as_they_are_now(tmp_path: Path, created: str | None, moves: int) -> None:
    nodes = [node("a"), node("b")]
    for item in nodes:
        item["metadata"] |= {"creationTimestamp": created} if created else {}
    policy = tmp_path / "policy.yaml"
    policy.write_text("min_node_age_seconds: 3600\nconsolidation: delete-only\n")
    result = run(
        *("--cluster", cluster(tmp_path, [*nodes, pod("web-a", node="a"), pod("web-b", node="b")])),
        *("--region", "us-east-1", "--on-demand-prices", prices(tmp_path), "--policy", policy, "-o", "json"),
    )
    assert len(json.loads(result.stdout)["moves"]) == moves


def test_a_new_fleet_needs_only_pods_from_several_files(tmp_path: Path) -> None:
    one = cluster(tmp_path, [pod("a"), pod("b")])
    two = cluster(tmp_path, None, "empty.json")
    three = tmp_path / "together.json"
    three.write_text(json.dumps(pod("c")) + json.dumps(pod("d")))
    result = run(
        *("--cluster", one, "--cluster", two, "--cluster", three, "--greenfield", "--region", "us-east-1"),
        *("--on-demand-prices", prices(tmp_path), "--zones", "us-east-1a,us-east-1b", "-o", "json"),
    )
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["baseline_usd_per_hour"] is None
    assert document["objective_usd_per_hour"] == document["cost_usd_per_hour"]
    assert sum(len(n["pods"]) for n in document["nodes"]) == 4
    assert {n["zone"] for n in document["nodes"]} <= {"us-east-1a", "us-east-1b"}
    assert all(n["existing"] is None for n in document["nodes"])


def test_spot_prices_by_zone_are_used(tmp_path: Path) -> None:
    spot = tmp_path / "spot.csv"
    spot.write_text(
        "region,instance_type,zone,usd_per_hour\n"
        "us-east-1,m5.large,us-east-1c,0.03\n"
        "us-east-1,m5.large,us-east-1b,0.03\n"
    )
    result = run(
        *("--cluster", cluster(tmp_path, [pod("a"), pod("b")]), "--greenfield", "--region", "us-east-1"),
        *("--on-demand-prices", prices(tmp_path), "--spot-prices", spot, "-o", "yaml"),
    )
    document = yaml.safe_load(result.stdout)
    nodes = document["nodes"]
    assert ("spot", "us-east-1c") in {(n["capacity_type"], n["zone"]) for n in nodes}
    assert any("taken to hold now" in n and "gives no times" in n for n in document["notes"])


def test_a_savings_plan_buys_on_demand_up_to_its_commitment_and_spot_beyond(tmp_path: Path) -> None:
    spot = tmp_path / "spot.csv"
    zones = [
        f"us-east-1,{t},us-east-1{z},{p}"
        for t, p in (("m5.large", 0.034), ("m5.xlarge", 0.068))
        for z in "abc"
    ]
    spot.write_text("\n".join(["region,instance_type,zone,usd_per_hour", *zones]))
    bought = tmp_path / "commitments.yaml"
    bought.write_text("savings_plans:\n  - {usd_per_hour: 0.24, rates: {m5.large: 0.06, m5.xlarge: 0.12}}\n")
    arguments = (
        *("--cluster", cluster(tmp_path, [pod(f"web-{i}", memory="3Gi") for i in range(24)])),
        *("--greenfield", "--region", "us-east-1", "-o", "json"),
        *("--on-demand-prices", prices(tmp_path), "--spot-prices", spot),
    )
    without, document = (
        json.loads(run(*arguments, *more).stdout) for more in ((), ("--commitments", bought))
    )
    assert {n["capacity_type"] for n in without["nodes"]} == {"spot"}
    on_demand = [n for n in document["nodes"] if n["capacity_type"] == "on-demand"]
    # What is committed pays for two xlarge nodes or four large ones, and there is need of more.
    assert sum({"m5.large": 1, "m5.xlarge": 2}[n["instance_type"]] for n in on_demand) == 4
    assert [n["usd_per_hour"] for n in on_demand] == [0.0] * len(on_demand)
    assert len(document["nodes"]) > len(on_demand)
    assert document["cost_usd_per_hour"] < without["cost_usd_per_hour"]
    assert 0 < document["lower_bound_usd_per_hour"] <= document["objective_usd_per_hour"]
    assert document["commitments"]["unused_usd_per_hour"] in (0, "0.000000")
    assert any("paid for by a commitment" in move["explanation"] for move in document["moves"])


def test_a_pod_too_large_for_any_type_is_status_3(tmp_path: Path) -> None:
    path = cluster(tmp_path, [pod("huge", cpu="300"), pod("small")])
    result = run(
        *("--cluster", path, "--greenfield", "--region", "us-east-1"),
        *("--on-demand-prices", prices(tmp_path), "-o", "json"),
    )
    assert result.exit_code == 3
    unplaced = json.loads(result.stdout)["unplaced"]
    assert [u["pod"] for u in unplaced] == ["shop/huge"]
    assert "larger than any allowed instance type" in unplaced[0]["reasons"][0]


def test_the_table_names_cost_and_reasons(tmp_path: Path) -> None:
    result = run("--cluster", cluster(tmp_path, [pod("a")]), "--greenfield", "--region", "us-east-1")
    assert result.exit_code == 0
    assert "USD/h" in result.stdout
    assert "Note: On-demand prices are those of the bundled catalogue" in result.stdout


def test_what_nobody_knows_the_price_of_is_no_part_of_the_objective_and_the_table_says_so(
    tmp_path: Path,
) -> None:
    strange = node("a")
    strange["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "z9.large"
    path = cluster(tmp_path, [strange, pod("web-a", node="a")])
    table = run("--cluster", path, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path)).stdout
    assert "Cost: unknown USD/h" in table
    assert "Objective (balanced) of the nodes whose price is known: 0.0000 USD/h" in table


@pytest.mark.parametrize(
    ("items", "options", "message"),
    [
        pytest.param([pod("a", cpu="abc")], ["--greenfield"], 'cpu request "abc"', id="cpu"),
        pytest.param([pod("a")], [], "has no node", id="no nodes"),
        pytest.param(
            [pod("a")], ["--greenfield", "--region", "mars-1"], "'mars-1' is not known", id="region"
        ),
        pytest.param([pod("a")], ["--greenfield", "--zones", "eu-west-1a"], "not in us-east-1", id="zone"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    tmp_path: Path, items: list[dict[str, Any]], options: list[str], message: str
) -> None:
    result = run("--cluster", cluster(tmp_path, items), "--region", "us-east-1", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    (sentence,) = result.stderr.strip().splitlines()
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        pytest.param("strategy: cheap", "strategy", id="value"),
        pytest.param("stratgy: spot", "no field stratgy; did you mean strategy?", id="field"),
        pytest.param("zzz: spot", "its fields are allow_bare_metal, ", id="no-such-field"),
        pytest.param("- 1", "must be a mapping", id="list"),
        pytest.param("a: [", "neither JSON nor YAML", id="broken"),
        pytest.param("", "policy.yaml is empty", id="empty"),
        pytest.param("architectures: amd64", "architectures: it must be a list.", id="no list"),
        pytest.param(
            "{min_vcpus: 4, max_vcpus: 2}", "policy.yaml: min_vcpus is above max_vcpus.", id="contradiction"
        ),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, written: str, message: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(written)
    path = cluster(tmp_path, [pod("a")])
    result = run("--cluster", path, "--greenfield", "--region", "us-east-1", "--policy", policy)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_policy_counts(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("strategy: on-demand\ninstance_families: [c5]\n")
    path = cluster(tmp_path, [pod("a")])
    result = run(
        *("--cluster", path, "--greenfield", "--region", "us-east-1", "--policy", policy, "-o", "json")
    )
    document = json.loads(result.stdout)
    assert {n["instance_type"].split(".")[0] for n in document["nodes"]} == {"c5"}


def test_a_pod_and_a_node_can_be_asked_about(tmp_path: Path) -> None:
    items = [node("a"), node("b"), pod("web-a", node="a"), pod("web-b", node="b")]
    path = cluster(tmp_path, items)
    asked = ("--explain", "shop/web-a", "--explain", "b")
    told = run(
        *("--cluster", path, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path), *asked),
        *("-o", "json"),
    )
    first, second = json.loads(told.stdout)["explanations"]
    assert (first["kind"], first["subject"]) == ("pod", "shop/web-a")
    assert (second["kind"], second["subject"]) == ("node", "b")
    table = run("--cluster", path, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path), *asked)
    assert "Pod shop/web-a: " in table.stdout
    assert "Why not cheaper:" in table.stdout


def test_to_ask_about_what_is_not_there_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    path = cluster(tmp_path, [node("a"), pod("web-a", node="a")])
    result = run("--cluster", path, "--region", "us-east-1", "--explain", "shop/db")
    assert result.exit_code == 2
    assert "no pod or node called shop/db" in result.stderr


def test_commitments_are_a_file_of_their_own_and_what_they_cover_costs_nothing_more(tmp_path: Path) -> None:
    bought = tmp_path / "bought.yaml"
    bought.write_text("reserved_instances: [{instance_type: m5.xlarge, count: 3}]\n")
    objects = cluster(tmp_path, [node("a"), pod("web-1", node="a"), pod("web-2", node="a")])
    files = ("--cluster", objects, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path))
    result = run(*files, "--commitments", bought, "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["baseline_usd_per_hour"] == 0
    assert document["commitments"]["covered_nodes"] == 1
    assert document["commitments"]["unused_instances"] == [{"instance_type": "m5.xlarge", "count": 2}]
    assert (
        "Commitments: they cover 1 nodes; unused: 2 m5.xlarge" in run(*files, "--commitments", bought).output
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("reserved: []", "did you mean reserved_instances?"),
        (
            "reserved_instances: [{instance_type: m5.large, count: 1, zones: a}]",
            "zones: there is no such field.",
        ),
        ("savings_plans: [{usd_per_hour: 1}]", "savings_plans.0.rates: it must be given."),
        ("reserved_instances: [{instance_type: m5.large, count: 0}]", "count"),
        ("[1]", "must be a mapping"),
    ],
)
def test_wrong_commitments_are_named(tmp_path: Path, content: str, why: str) -> None:
    bought = tmp_path / "bought.yaml"
    bought.write_text(content)
    objects = cluster(tmp_path, [node("a"), pod("web-1", node="a")])
    result = run("--cluster", objects, "--region", "us-east-1", "--commitments", bought)
    assert result.exit_code == plan.BAD_INPUT
    assert why in result.output


@pytest.mark.parametrize(
    ("option", "content", "why"),
    [
        ("--policy", "excluded_instance_types: [m5.xlrge]", "m5.xlrge; did you mean m5.xlarge?"),
        ("--policy", "zones: [us-east-1q]", "us-east-1 has no zone us-east-1q; it has us-east-1a"),
        (
            "--commitments",
            "reserved_instances: [{instance_type: m5.lrage, count: 2}]",
            "did you mean m5.large?",
        ),
    ],
)
def test_a_name_that_ec2_does_not_know_is_bad_input(
    tmp_path: Path, option: str, content: str, why: str
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text(content)
    objects = cluster(tmp_path, [node("a"), pod("web-1", node="a")])
    result = run("--cluster", objects, "--region", "us-east-1", option, given)
    assert result.exit_code == plan.BAD_INPUT
    assert why in result.stderr


def test_a_workload_that_is_not_there_is_told_and_what_leaves_no_offer_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("on_demand_floors: [{workload: shop/nope, replicas: 2}]\nmax_usd_per_hour: 0.01\n")
    objects = cluster(tmp_path, [node("a"), pod("web-1", node="a")])
    files = (
        "--region",
        "us-east-1",
        "--on-demand-prices",
        prices(tmp_path),
        "--policy",
        policy,
        "-o",
        "json",
    )
    result = run("--cluster", objects, *files)
    assert result.exit_code == 0, result.output
    told = " ".join(json.loads(result.stdout)["notes"])
    assert "on_demand_floors: no workload matches shop/nope." in told
    assert "Nothing can be launched: of" in told
    assert "out since the policy allows at most 0.01 USD/h" in told


def test_the_plan_tells_its_risk_and_its_headroom(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "headroom: [{cpu_millicores: 500, memory_bytes: 1073741824, count: 2}]\nobjective: lowest-cost\n"
    )
    objects = cluster(tmp_path, [node("a"), pod("web-1", node="a"), pod("web-2", node="a")])
    files = ("--cluster", objects, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path))
    text = run(*files, "--policy", policy).output
    assert "Objective (lowest-cost):" in text
    assert "Risk: no node is on spot" in text
    assert "Headroom: room for 2 of 2 pods of 500m CPU, 1024 MiB" in text


def test_memory_is_what_the_given_nodes_of_a_type_have(tmp_path: Path) -> None:
    """The estimate gives an m5.xlarge 13.8 GiB; one that is there has 14.6, and so will the next."""
    real = node("a")
    real["status"]["allocatable"]["memory"] = "14950Mi"
    items = [real, pod("here", cpu="3500m", memory="14800Mi", node="a"), pod("new", memory="14800Mi")]
    given = ("--region", "us-east-1", "--on-demand-prices", prices(tmp_path), "-o", "json")
    placed = run("--cluster", cluster(tmp_path, items), *given)
    assert placed.exit_code == 0, placed.stdout
    unseen = [item if item is not real else node("a", "m5.2xlarge") for item in items]
    assert run("--cluster", cluster(tmp_path, unseen), *given).exit_code == 3


def test_how_new_nodes_are_set_up_decides_what_they_hold(tmp_path: Path) -> None:
    priced = ("--region", "us-east-1", "--on-demand-prices", prices(tmp_path), "--greenfield", "-o", "json")
    small = cluster(tmp_path, [pod(f"web-{n}", cpu="10m", memory="32Mi") for n in range(120)], "small.json")
    large = cluster(tmp_path, [pod("db-0", memory="7000Mi")], "large.json")

    def planned(file: Path, *more: str) -> dict[str, Any]:
        return dict(json.loads(run("--cluster", file, *priced, *more).stdout))

    # An m5.xlarge has addresses for 58 pods; with prefixes EKS recommends 110.
    assert len(planned(small)["nodes"]) > len(planned(small, "--prefix-delegation")["nodes"])
    assert len(planned(small, "--max-pods", "20")["nodes"]) == 6
    # Bottlerocket keeps memory for the pods that it is told to take, Amazon Linux for those of the interfaces.
    costs = [
        planned(large, "--max-pods", "10", "--ami-family", family)["cost_usd_per_hour"]
        for family in ("al2023", "bottlerocket")
    ]
    assert costs == [0.192, 0.096]


def test_no_more_pods_a_node_are_taken_than_a_node_template_may_say(tmp_path: Path) -> None:
    given = ("--cluster", cluster(tmp_path, [pod("a")]), "--greenfield", "--region", "us-east-1")
    assert run(*given, "--max-pods", "1001").exit_code == 2


def test_what_the_table_has_no_room_for_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--cluster", cluster(tmp_path, [pod("a")]), "--greenfield", "--region", "us-east-1")
    document = json.loads(run(*given, "--on-demand-prices", prices(tmp_path), "-o", "json").stdout)
    document["notes"] = [f"note {n}" for n in range(12)]
    plan_output.show(document, Form.TABLE)
    table = capsys.readouterr().out
    assert "note 9" in table
    assert "note 10" not in table
    assert "and 2 more notes" in table
    assert "Proven: no fleet has an objective below 0.0960 USD/h" in table
