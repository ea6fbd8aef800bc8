"""What people read of a plan: everything that the moves say of themselves, within the width of a terminal."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.cli import plan_moves, plan_output
from tests.unit.planfiles.command import cluster, node, pod, prices, run

ROOT = Path(__file__).parents[3]

REPLACE = {
    "id": "move-1",
    "kind": "replace",
    "launches": [{"id": "n-1"}],
    "drains": ["a"],
    "savings_usd_per_hour": 0.4,
    "worth_usd_per_hour": 0.41,
    "disruption_pods": 12,
    "disruption_usd": 0.0421,
    "payback_seconds": 374,
    "interruptions_per_day_before": 0.0,
    "interruptions_per_day_after": None,
    "explanation": "Replace 1 m5.4xlarge on-demand (0.768 USD/h) by 1 m5a.xlarge spot (0.3612 USD/h); 12 pods move.",
    "runner_up": "spot:m6a.xlarge:use1-az1 at 0.05184 USD/h, +0.00024 USD/h against spot:m5a.xlarge:use1-az1",
    "runner_up_extra_usd_per_hour": 0.00024,
    "binding_constraint": "memory: 85% of what the new nodes have is requested",
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            {},
            [
                (
                    "Costs 0.0421 USD once, earned back in 6 min; interruptions a day: 0 of what goes, unknown of what"
                    " comes."
                ),
                (
                    "Runner-up: spot:m6a.xlarge:use1-az1 at 0.05184 USD/h, +0.00024 USD/h against"
                    " spot:m5a.xlarge:use1-az1."
                ),
                "Bound by memory: 85% of what the new nodes have is requested.",
            ],
            id="replace",
        ),
        pytest.param(
            {
                "launches": [],
                "payback_seconds": 90,
                "runner_up": "keeping 1 m5.large on-demand at 0.096 USD/h",
                "runner_up_extra_usd_per_hour": 0.095,
                "binding_constraint": "none: nothing that must move runs there",
            },
            [
                "Costs 0.0421 USD once, earned back in 90 s; interruptions a day: 0 of what goes.",
                "Runner-up: keeping 1 m5.large on-demand at 0.096 USD/h, 0.095 USD/h worse.",
            ],
            id="delete",
        ),
        pytest.param(
            {
                "drains": [],
                "disruption_usd": 0.0,
                "payback_seconds": None,
                "interruptions_per_day_after": 0.25,
                "runner_up": "no launch: 2 pods would go on waiting, and no other offer holds them",
                "runner_up_extra_usd_per_hour": None,
                "binding_constraint": None,
            },
            [
                "Interruptions a day: 0.25 of what comes.",
                "Runner-up: no launch: 2 pods would go on waiting, and no other offer holds them.",
            ],
            id="launch",
        ),
        pytest.param(
            {
                "runner_up_extra_usd_per_hour": -0.02,
                "payback_seconds": None,
                "interruptions_per_day_after": 0,
            },
            [
                "Costs 0.0421 USD once; interruptions a day: 0 before and after.",
                (
                    "Runner-up: spot:m6a.xlarge:use1-az1 at 0.05184 USD/h, +0.00024 USD/h against"
                    " spot:m5a.xlarge:use1-az1: cheaper for these pods alone."
                ),
                "Bound by memory: 85% of what the new nodes have is requested.",
            ],
            id="a runner-up that is cheaper by itself",
        ),
    ],
)
def test_a_move_tells_its_cost_its_risk_and_what_it_beat(changes: dict[str, Any], said: list[str]) -> None:
    assert list(plan_moves.lines({**REPLACE, **changes})) == said


def test_lines_go_on_under_their_own_number_within_the_width() -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=100)
    plan_output.show_moves(console, [REPLACE] * (plan_output.SHOWN_MOVES + 2))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("  1. Replace 1 m5.4xlarge")
    assert lines[1].startswith("     Costs 0.0421 USD once")
    assert lines[2] == "     what comes."
    assert lines[-1] == "     and 2 more moves (-o json shows all)"


def test_the_moves_that_the_docs_show_are_those_that_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    nodes = [node("a"), node("b")]
    for item in nodes:
        item["metadata"]["creationTimestamp"] = "2024-02-01T00:00:00Z"
    objects = cluster(tmp_path, [*nodes, pod("web-a", node="a"), pod("web-b", node="b")])
    printed = run(
        "--cluster", objects, "--region", "us-east-1", "--on-demand-prices", prices(tmp_path)
    ).stdout
    shown = re.search(r"```text\n(  1\. .*?)```", (ROOT / "docs/planner.md").read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] in printed
