"""Where a limit on pools or zones cannot be kept to, the others are."""

import pytest

from services.optimizer.domain.diversification import breaches
from services.optimizer.domain.planning import PlanMode, study
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain.market import TEMPLATE, make_market, make_workload

PODS = tuple(p for w in range(4) for p in make_workload(f"w{w}", 8, cpu=400 + 100 * w))


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        (PlanRules(max_zone_share_ratio=0.1), {"zone"}),
        (PlanRules(max_zone_share_ratio=0.1, max_cluster_pool_share_ratio=0.2), {"zone"}),
        (PlanRules(max_zone_share_ratio=0.5, max_cluster_pool_share_ratio=0.001), set()),
        (PlanRules(max_zone_share_ratio=0.001, max_cluster_pool_share_ratio=0.001), {"zone"}),
    ],
)
def test_only_what_cannot_be_kept_to_is_broken(rules: PlanRules, broken: set[str]) -> None:
    objects = ClusterObjects(pods=PODS)
    found = study(objects, make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert not found.draft.unplaced
    over = breaches(found.after.nodes, spot_judge(objects, rules))
    assert {b.what.split()[0] for b in over} == broken
