"""A plan gives up nothing without which the shares of spot pools could not be kept to, wherever pods lie now."""

import random

import pytest

from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain.carrying_out import carry_out
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

RULES = PlanRules(strategy=Strategy.SPOT)


def _drawn(seed: int) -> tuple[ClusterObjects, float]:
    rng = random.Random(seed)
    pods = []
    for number in range(rng.choice((3, 8, 8, 15, 30))):
        cpu = rng.choice((50, 100, 250, 500, 1000, 1500, 3000))
        replicas = rng.randint(1, 8)
        pods += make_workload(f"w{number}", replicas, cpu=cpu, gib=cpu / 1000 * rng.choice((1, 2, 4, 8)))
    assert rng.choice(("spot", "hybrid", "on-demand")) == "spot"
    rng.shuffle(pods)
    return make_cluster(pods, per_node=rng.choice((1, 2, 4, 8))), rng.choice((0.3, 0.35, 0.5))


@pytest.mark.parametrize("seed", [72, 104, 115])
def test_no_further_plan_breaks_what_the_scheduler_did_not_keep_to_anyway(seed: int) -> None:
    objects, ratio = _drawn(seed)
    market = make_market(spot_ratio=ratio)
    first = plan(objects, market, RULES, TEMPLATE)
    assert first.moves
    done = carry_out(objects, first, seed=seed, ahead=seed % 2 == 0)
    assert plan(done.objects, market, RULES, TEMPLATE).moves == ()
