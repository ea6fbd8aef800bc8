"""Which way is proposed when the time is up before all was looked at."""

import pytest

from services.optimizer.domain.drafts import MoveDraft
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.moving import Mover, Way
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain import stopping
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

ORDER = "w0-2 w0-6 w1-0 w0-3 w3-0 w4-0 w1-1 w3-2 w2-1 w0-4 w3-6 w0-5 w2-0 w3-3 w1-2 w4-1 w3-5 w2-2 w3-4 w0-1 w3-1 w0-0"
"""Of nodes with one pod each."""


def _cluster() -> ClusterObjects:
    """Give a cluster whose best fleet is thinned again."""
    pods = [
        *make_workload("w0", 7, cpu=300, gib=3),
        *make_workload("w1", 3, cpu=300, gib=1),
        *make_workload("w2", 3, cpu=1900, gib=6),
        *make_workload("w3", 7, cpu=700, gib=1),
        *make_workload("w4", 2, cpu=300, gib=1),
    ]
    by_name = {p.name: p for p in pods}
    return make_cluster([by_name[name] for name in ORDER.split()], per_node=1)


@pytest.mark.slow
def test_no_way_is_proposed_on_which_a_rehearsal_left_pods_without_a_node_whenever_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drafts, ways = Mover.drafts, list[Way]()

    def recorded(self: Mover, before: FleetState, way: Way) -> tuple[MoveDraft, ...]:
        ways.append(way)
        return drafts(self, before, way)

    monkeypatch.setattr(Mover, "drafts", recorded)
    objects, market = _cluster(), make_market()
    for calls in range(440, 580, 10):
        plan(objects, market, PlanRules(), TEMPLATE, should_stop=stopping.after(calls))
    assert any(cut.drains for way in ways for cut in way.cuts)
    assert [way.homeless for way in ways if way.homeless] == []
