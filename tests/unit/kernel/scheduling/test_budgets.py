"""Disruption budgets: what the eviction API would say, and what is allowed at full health."""

from typing import Any

import pytest

from shared.kernel.scheduling.budgets import SEVERAL, eviction_refused, most_disruptions, takes_no_disruption
from shared.kernel.workload import DisruptionBudget, LabelSelector, PodPhase
from tests.builders import app_selector, make_pod


def budget(name: str = "web", **fields: Any) -> DisruptionBudget:
    """Three pods of which two must be healthy, and are: nobody may go."""
    usual: dict[str, Any] = {
        "current_healthy": 2,
        "desired_healthy": 2,
        "expected_pods": 3,
        "selector": app_selector(),
    }
    return DisruptionBudget("shop", name, **(usual | fields))


FULL = "budget shop/web needs 2 healthy pods and has 2"


@pytest.mark.parametrize(
    ("pod", "budgets", "reason"),
    [
        pytest.param({}, [], None, id="no budget"),
        pytest.param({}, [budget(disruptions_allowed=1)], None, id="one may go"),
        pytest.param({}, [budget()], FULL, id="none may go"),
        pytest.param({"app": "db"}, [budget()], None, id="of another app"),
        pytest.param({"namespace": "bank"}, [budget()], None, id="of another namespace"),
        pytest.param(
            {"app": "db"}, [budget(selector=LabelSelector())], FULL, id="an empty selector covers all"
        ),
        pytest.param({}, [budget(selector=None)], None, id="no selector covers none"),
        pytest.param(
            {},
            [budget(disruptions_allowed=1), budget("more", disruptions_allowed=1)],
            SEVERAL,
            id="two budgets",
        ),
        pytest.param({"phase": PodPhase.PENDING}, [budget()], None, id="pending"),
        pytest.param({"phase": PodPhase.FAILED}, [budget(), budget("more")], None, id="failed"),
        pytest.param({"is_terminating": True}, [budget()], None, id="going already"),
        pytest.param({"is_ready": False}, [budget()], None, id="not ready, and the others are well"),
        pytest.param(
            {"is_ready": False},
            [budget(current_healthy=1)],
            "budget shop/web needs 2 healthy pods and has 1",
            id="not ready, and too few others are well",
        ),
        pytest.param(
            {"is_ready": False},
            [budget(current_healthy=1, always_allows_unhealthy=True)],
            None,
            id="not ready, and such pods may always go",
        ),
        pytest.param(
            {"is_ready": False},
            [budget(current_healthy=0, desired_healthy=0)],
            "budget shop/web needs 0 healthy pods and has 0",
            id="a budget that its controller has not looked at",
        ),
    ],
)
def test_what_the_eviction_api_says(
    pod: dict[str, Any], budgets: list[DisruptionBudget], reason: str | None
) -> None:
    assert eviction_refused(make_pod(node="node-1", **pod), budgets) == reason


def test_a_ready_pod_takes_one_of_the_allowed_disruptions() -> None:
    assert not takes_no_disruption(make_pod(node="node-1"), budget(always_allows_unhealthy=True))
    assert takes_no_disruption(make_pod(node="node-1", is_ready=False), budget())


@pytest.mark.parametrize(
    ("min_available", "max_unavailable", "expected", "allowed"),
    [
        ("2", None, 3, 1),
        ("3", None, 3, 0),
        ("5", None, 3, 0),
        ("50%", None, 3, 1),
        ("100%", None, 3, 0),
        ("0", None, 3, 3),
        (None, "1", 3, 1),
        (None, "9", 3, 3),
        (None, "0", 3, 0),
        (None, "10%", 3, 1),
        (None, "50%", 3, 2),
        (None, "0%", 3, 0),
        (None, None, 3, 0),
        (None, "50%", 0, 0),
    ],
)
def test_what_a_budget_allows_at_full_health(
    min_available: str | None, max_unavailable: str | None, expected: int, allowed: int
) -> None:
    written = budget(min_available=min_available, max_unavailable=max_unavailable)
    assert most_disruptions(written, expected) == allowed
