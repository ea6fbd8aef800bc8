"""Which nodes may go and which pods wait, as planning sees it."""

from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.fleet_state import FleetState, blocked_pods, read_state
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.workload import ClusterObjects, DisruptionBudget, PodPhase
from tests.builders import app_selector, make_pod
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

RULES = PlanRules()
FROZEN = DisruptionBudget(
    "shop", "web", app_selector(), min_available="2", current_healthy=1, desired_healthy=2, expected_pods=2
)
BUSY = DisruptionBudget(
    "shop", "busy", app_selector(), min_available="1", current_healthy=1, desired_healthy=1, expected_pods=2
)


def unseen(min_available: str) -> DisruptionBudget:
    """A budget without a status, as in a file that was written by hand."""
    return DisruptionBudget("shop", "new", app_selector(), min_available=min_available)


def read(objects: ClusterObjects) -> FleetState:
    return read_state(objects, make_market(), RULES, TEMPLATE, spot_judge(objects, RULES))


def test_pods_that_nobody_plans_for_are_counted_in_the_notes() -> None:
    gated = [make_pod(f"gated-{i}", scheduling_gated=True) for i in range(3)]
    astray = [make_pod("astray", node="gone")]
    state = read(ClusterObjects(pods=(*gated, *astray, make_pod("waits"))))
    assert [p.key for p in state.pending] == ["shop/waits"]
    assert state.notes == (
        "3 pods wait for their scheduling gates to be lifted: no room is planned for them.",
        "1 pods are bound to nodes that are not in the input: they are left out.",
    )


@pytest.mark.parametrize(
    ("budgets", "pod", "is_blocked"),
    [
        pytest.param((FROZEN,), {}, True, id="a budget that wants all of its pods"),
        pytest.param((BUSY,), {}, False, id="a budget that only has no pod to spare now"),
        pytest.param((FROZEN,), {"is_ready": False}, False, id="a pod that is missing already"),
        pytest.param((BUSY, BUSY), {}, True, id="two budgets, whatever they allow"),
        pytest.param((BUSY, BUSY), {"phase": PodPhase.PENDING}, False, id="two, of a pod that has not begun"),
        pytest.param((FROZEN,), {"app": "api"}, False, id="a budget over others"),
        pytest.param((unseen("100%"),), {}, True, id="one that its controller has not seen, and wants all"),
        pytest.param((unseen("0"),), {}, False, id="one that its controller has not seen, and wants none"),
    ],
)
def test_who_is_never_evicted(
    budgets: tuple[DisruptionBudget, ...], pod: dict[str, Any], *, is_blocked: bool
) -> None:
    given = [replace(b, always_allows_unhealthy=True) for b in budgets]
    found = blocked_pods(given, [make_pod("web-0", node="node-1", **pod)])
    assert (found.keys() == {"shop/web-0"}) is is_blocked


def test_a_node_stays_for_a_pod_under_two_budgets_which_may_run_on_spot_all_the_same() -> None:
    pods = make_workload("web", 6)
    loose = [
        DisruptionBudget(
            "shop",
            name,
            app_selector(),
            max_unavailable="3",
            desired_healthy=3,
            current_healthy=6,
            expected_pods=6,
        )
        for name in ("a", "b")
    ]
    objects = make_cluster(pods, per_node=6, budgets=tuple(loose))
    (node,) = read(objects).nodes
    assert node.kept_because is not None
    assert "the eviction API takes one only" in node.kept_because
    assert spot_judge(objects, RULES).refusal(objects.pods[0]) is None


def test_a_pod_that_has_yet_to_start_stays_off_spot_when_its_budget_lets_none_go() -> None:
    pods = (make_pod("web-0"), make_pod("web-1"))
    reason = spot_judge(ClusterObjects(pods=pods, budgets=(FROZEN,)), RULES).refusal(pods[0])
    assert reason == "its disruption budget allows no disruption"
