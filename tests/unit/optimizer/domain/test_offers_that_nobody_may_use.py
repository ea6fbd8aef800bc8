"""Spot offers that policy lets no pod use change no plan."""

import random

import pytest

from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules
from shared.kernel.workload import Pod
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, make_cluster, make_market, make_workload

ALL_ON_DEMAND = PlanRules(on_demand_workloads=("shop/*",))


def _pods(seed: int) -> list[Pod]:
    draw = random.Random(seed)
    return [
        pod
        for number in range(6)
        for pod in make_workload(
            f"w{number}",
            draw.randint(4, 9),
            cpu=draw.choice((300, 400, 700, 900, 1200)),
            gib=draw.randint(1, 3),
        )
    ]


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
@pytest.mark.parametrize("seed", range(6))
def test_they_change_neither_what_is_launched_nor_what_goes(seed: int, mode: PlanMode) -> None:
    objects = make_cluster(_pods(seed), per_node=4)
    plans = [
        plan(objects, make_market(spot_ratio=ratio), rules, TEMPLATE, mode=mode)
        for ratio, rules in ((None, ON_DEMAND), (0.35, ON_DEMAND), (0.35, ALL_ON_DEMAND))
    ]
    fleets = [
        sorted((n.node.instance_type or "", n.node.zone_id or "", n.existing) for n in p.nodes) for p in plans
    ]
    assert fleets[0] == fleets[1] == fleets[2]
