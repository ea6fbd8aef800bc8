"""On-demand nodes bought for pods that spot may not take are kept, wherever those pods went."""

from dataclasses import replace

from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, PodPhase
from tests.builders import make_node
from tests.unit.optimizer.domain.market import TEMPLATE, make_market, make_workload


def _swapped(*, singles: int) -> ClusterObjects:
    """An on-demand node full of replicas that spot may take, a spot node with pods that have no replica."""
    on_demand = make_node("od", cpu=1930, gib=6.5, instance_type="m5.large")
    spot = make_node("sp", cpu=3920, gib=14, instance_type="m5.xlarge", capacity_type=CapacityType.SPOT)
    many = [replace(p, node_name="od") for p in make_workload("web", 3, cpu=600)]
    alone = [replace(p, node_name="sp") for n in range(singles) for p in make_workload(f"one{n}", 1, cpu=900)]
    filler = [replace(p, node_name="sp") for p in make_workload("fill", 4 - 2 * bool(singles), cpu=900)]
    pods = tuple(replace(p, phase=PodPhase.RUNNING) for p in [*many, *alone, *filler])
    return ClusterObjects(nodes=(on_demand, spot), pods=pods)


def test_room_for_pods_without_replicas_is_not_given_up() -> None:
    draft = plan(_swapped(singles=2), make_market(), PlanRules(payback_seconds=36000), TEMPLATE)
    kept = [n for n in draft.nodes if n.node.capacity_type is CapacityType.ON_DEMAND]
    assert kept


def test_without_such_pods_it_is() -> None:
    draft = plan(_swapped(singles=0), make_market(), PlanRules(payback_seconds=36000), TEMPLATE)
    assert draft.moves
    assert not [n for n in draft.nodes if n.node.capacity_type is CapacityType.ON_DEMAND]


def test_a_selector_for_on_demand_wins_over_a_policy_of_spot_only() -> None:
    selector = {"karpenter.sh/capacity-type": "on-demand"}
    pods = [*make_workload("db", 2, node_selector=selector), *make_workload("web", 6)]
    draft = plan(
        ClusterObjects(pods=tuple(pods)),
        make_market(),
        PlanRules(strategy=Strategy.SPOT),
        TEMPLATE,
        mode=PlanMode.GREENFIELD,
    )
    assert draft.unplaced == ()
    for node in draft.nodes:
        asked = {p.startswith("shop/db") for p in node.pods}
        assert asked == {node.node.capacity_type is CapacityType.ON_DEMAND}
    assert any("2 pods ask for on-demand" in note for note in draft.notes)
