"""What a demo proved is arithmetic on the sandbox's own counts."""

from typing import Any

import pytest

from deploy.demo.result import Result, result_of


def made(**changes: Any) -> Result:
    fleet = [
        {"on_demand_usd_per_hour": 3.0, "pods": 4},
        {"on_demand_usd_per_hour": 2.0, "pods": 6},
    ]
    report = {
        "usd_per_hour": 2.0,
        "fleet": fleet,
        "nodes": 2,
        "pods_pending": 0,
        "pdb_violations": 0,
        "unexpected_terminations": 0,
        "interruptions_handled": 1,
    }
    return result_of(
        report | changes,
        baseline={"usd_per_hour": 10.0, "nodes": 5},
        booked_usd="0.25",
        types_skipped=3,
        moves_planned_again=0,
        seconds=12.34,
    )


def test_savings_split_into_packing_and_capacity_type_and_add_up() -> None:
    result = made()
    assert result.savings_ratio == 0.8
    assert result.savings_from_packing == 0.5
    assert result.savings_from_capacity_type == pytest.approx(0.3)
    assert result.pods == 10
    assert result.problems == []


def test_the_split_is_unknown_when_an_on_demand_price_is() -> None:
    result = made(fleet=[{"on_demand_usd_per_hour": None, "pods": 1}])
    assert result.savings_from_packing is None
    assert result.savings_from_capacity_type is None


def test_every_harm_is_a_problem() -> None:
    result = made(pods_pending=1, pdb_violations=2, unexpected_terminations=3)
    assert len(result.problems) == 3
