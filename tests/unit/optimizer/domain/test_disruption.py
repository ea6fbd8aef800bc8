"""What a change costs is set against what it saves."""

from dataclasses import replace

import pytest

from services.optimizer.domain import disruption
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Pod
from tests.builders import make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

RULES = PlanRules(usd_per_moved_pod=0.001, overlap_seconds=360, payback_seconds=1800)


def standing(*pods: Pod, price: float = 1.0) -> StandingNode:
    return StandingNode(make_node(), Offer(make_pool(), price), pods, None)


def test_pods_that_move_and_nodes_that_overlap_are_charged_once() -> None:
    drained = [standing(make_pod("a"), make_pod("b"))]
    assert disruption.charge(drained, [standing(price=2.0)], RULES) == 2_000 + 200_000


def test_daemons_do_not_move_and_an_empty_node_goes_for_nothing() -> None:
    daemon = make_pod("log-x", owner=type(make_pod().owner)("DaemonSet", "log"))  # type: ignore[misc]
    assert disruption.charge([standing(daemon)], [], RULES) == 0


@pytest.mark.parametrize(("once", "an_hour"), [(0, 0), (1, 2), (100_000, 200_000)])
def test_what_is_charged_once_must_be_earned_in_time(once: int, an_hour: int) -> None:
    assert disruption.hourly(once, RULES) == an_hour


def test_a_spot_fleet_that_another_undercuts_by_little_stays() -> None:
    objects = _on_spot(make_cluster(make_workload("web", 39), per_node=13))
    market = make_market(spot_ratio=0.33)
    free = PlanRules(usd_per_moved_pod=0, overlap_seconds=0)
    assert plan(objects, market, free, TEMPLATE).moves
    assert plan(objects, market, PlanRules(), TEMPLATE).moves == ()


def test_a_change_that_would_pay_back_too_late_says_so() -> None:
    objects = make_cluster(make_workload("web", 20))
    draft = plan(objects, make_market(), PlanRules(payback_seconds=1), TEMPLATE)
    assert draft.moves == ()
    assert draft.skip_reason is not None
    assert "would earn within" in draft.skip_reason


def _on_spot(objects: ClusterObjects) -> ClusterObjects:
    spot = CapacityType.SPOT
    labels = {"karpenter.sh/capacity-type": spot.value}
    return replace(
        objects,
        nodes=tuple(replace(n, capacity_type=spot, labels={**n.labels, **labels}) for n in objects.nodes),
    )
