"""A plan that is told to stop: it ends soon, every way of it was rehearsed, and what was found is in it."""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.optimizer.domain.drafts import MoveDraft, PlanDraft
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.moving import Mover, Way
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rehearsal import Rehearsal
from services.optimizer.domain.restarts import Crowd
from services.optimizer.domain.rules import PlanRules
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

MARKET, RULES = make_market(), PlanRules()
CLUSTERS = range(1, 4)
MOST_ASKS = 900
"""About as many as the clusters' whole plans take."""
MOST_BETWEEN = 4
MOST_AFTER = 70
"""Restarts and rehearsals of all pods; the whole plan takes hundreds."""


@cache
def _cluster(seed: int) -> ClusterObjects:
    """Give ten nodes with 48 pods."""
    draw = random.Random(seed)
    pods = [
        pod
        for number in range(8)
        for pod in make_workload(
            f"w{number}", 6, cpu=draw.choice((300, 500, 700, 900, 1100)), gib=draw.randint(1, 3)
        )
    ]
    return make_cluster(pods, per_node=5)


def _stopped(seed: int, asks: int) -> PlanDraft:
    left = iter(range(asks))
    return plan(_cluster(seed), MARKET, RULES, TEMPLATE, should_stop=lambda: next(left, None) is None)


def _saved(draft: PlanDraft) -> float:
    assert draft.cost_before_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour is not None
    return draft.cost_before_usd_per_hour - draft.cost_after_usd_per_hour


at_once = cache(lambda seed: _saved(_stopped(seed, 0)))


@example(1, 189)
@example(2, 405)
@example(3, 378)
@settings(max_examples=20, deadline=None)
@given(st.sampled_from(CLUSTERS), st.integers(0, MOST_ASKS))
def test_every_way_of_it_was_rehearsed_and_it_is_hardly_worse_than_one_that_is_stopped_at_once(
    seed: int, asks: int
) -> None:
    drafts, ways = Mover.drafts, list[tuple[Mover, FleetState, Way]]()

    def recorded(self: Mover, before: FleetState, way: Way) -> tuple[MoveDraft, ...]:
        ways.append((self, before, way))
        return drafts(self, before, way)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mover, "drafts", recorded)
        draft = _stopped(seed, asks)
    for mover, before, way in ways:
        assert way.homeless == ()
        assert mover._rehearse(before, way.after, way.cuts) == []
    assert not draft.unplaced
    assert _saved(draft) >= 0.95 * at_once(seed) > 0


def _counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, work: list[int], cost: int) -> None:
    plain: Callable[..., Any] = getattr(kind, name)

    def counted(*given: Any, **named: Any) -> Any:
        work[-1] += cost
        return plain(*given, **named)

    monkeypatch.setattr(kind, name, counted)


@pytest.mark.parametrize("asks", [0, 10, 100, 300, 500, 700])
def test_it_asks_often_and_does_little_once_told_to_stop(asks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    work = [0]
    """Restarts and rehearsals of all pods between two questions, and after the last."""
    _counted(monkeypatch, Crowd, "restart", work, 1)
    _counted(monkeypatch, Rehearsal, "play", work, 1)
    left = iter(range(asks))

    def should_stop() -> bool:
        work.append(0)
        return next(left, None) is None

    plan(_cluster(2), MARKET, RULES, TEMPLATE, should_stop=should_stop)
    assert len(work) == asks + 2, "once told to stop it does not ask again"
    assert max(work[:-1]) <= MOST_BETWEEN
    assert work[-1] <= MOST_AFTER
