"""How many replicas may go at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import losses
from shared.kernel.workload import DisruptionBudget, LabelSelector, Operator, Owner, Requirement
from tests.builders import app_selector, make_pod

FRONT = LabelSelector((Requirement("tier", Operator.IN, ("front",)),))
WEB, API = Owner("Deployment", "web"), Owner("Deployment", "api")


def make_budget(*, app: str = "web", **fields: str) -> DisruptionBudget:
    return DisruptionBudget("shop", f"{app}-budget", app_selector(app), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget", "pods", "minimum"),
    [
        (make_budget(min_available="2"), 5, 2),
        (make_budget(min_available="50%"), 5, 3),
        (make_budget(max_unavailable="1"), 5, 4),
        (make_budget(max_unavailable="30%"), 5, 3),
        (make_budget(max_unavailable="100%"), 5, 0),
        (make_budget(min_available="9"), 5, 5),
        (make_budget(max_unavailable="0"), 5, 5),
        (make_budget(max_unavailable="9"), 5, 0),
    ],
)
def test_percentages_are_rounded_up_as_kubernetes_does(
    budget: DisruptionBudget, pods: int, minimum: int
) -> None:
    assert losses.minimum_available(budget, pods) == minimum


def losable(*budgets: DisruptionBudget, web: int = 4, api: int = 4) -> dict[losses.WorkloadKey, int]:
    pods = [make_pod(f"web-{i}", app="web", labels={"tier": "front"}, owner=WEB) for i in range(web)]
    pods += [make_pod(f"api-{i}", app="api", labels={"tier": "front"}, owner=API) for i in range(api)]
    return losses.losable(budgets, pods, {("shop", WEB): web, ("shop", API): api})


def test_a_budget_of_one_workload_leaves_what_it_does_not_ask_for() -> None:
    assert losable(make_budget(min_available="3")) == {("shop", WEB): 1}


def test_the_strictest_of_several_budgets_counts() -> None:
    assert losable(make_budget(min_available="1"), make_budget(max_unavailable="2")) == {("shop", WEB): 2}


def test_pods_that_no_budget_covers_may_all_be_missing() -> None:
    assert losable() == {}


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 24))
def test_workloads_under_one_budget_together_lose_no_more_than_it_allows(
    web: int, api: int, minimum: int
) -> None:
    both = DisruptionBudget("shop", "front", FRONT, min_available=str(minimum))
    found = losable(both, web=web, api=api)
    assert sum(found.values()) <= max(web + api - minimum, 0)


@given(st.integers(1, 50), st.floats(0.01, 1), st.one_of(st.none(), st.integers(0, 50)))
def test_a_pool_holds_no_more_than_the_share_nor_than_may_be_lost(
    replicas: int, share: float, can_lose: int | None
) -> None:
    limit = losses.pool_limit(replicas=replicas, share_ratio=share, can_lose=can_lose)
    assert 0 <= limit <= replicas
    assert limit <= share * replicas + 1e-6
    assert can_lose is None or limit <= can_lose
