"""When nothing has changed since a plan was carried out, nothing is planned."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.contracts.v1.plan import Plan
from shared.kernel.workload import ClusterObjects
from tests.quotes import make_quotes
from tests.unit.optimizer.domain.market import make_cluster, make_workload
from tests.unit.optimizer.handlers.stage import Stage

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> Stage:
    return Stage()


NOTHING_NEW = "Nothing has changed since the plan of"


async def carried_out(stage: Stage, *, has_succeeded: bool = True) -> ClusterObjects:
    """Plan, let the plan be carried out, and show the cluster that comes of it: other pods, other nodes."""
    plan = await stage.planned()
    assert isinstance(plan, Plan)
    execution = stage.ids.new()
    plans = stage.store.plans
    await plans.execution_started("c1", execution, plan_id=plan.id, trigger="timer", at=stage.clock.now())
    created = stage.clock.now()
    await stage.clock.sleep(60)
    await plans.execution_finished("c1", execution, at=stage.clock.now(), has_succeeded=has_succeeded)
    pods = [replace(p, name=f"{p.name}-again") for p in make_workload("web", 8, cpu=500)]
    per_node = -(-len(pods) // plan.nodes_after)
    found = make_cluster(pods, per_node=per_node)
    assert len(found.nodes) == plan.nodes_after
    found = replace(found, nodes=tuple(replace(n, created_at=created) for n in found.nodes))
    stage.show(found)
    return found


async def test_the_same_pods_at_the_same_prices_are_not_moved_twice(stage: Stage) -> None:
    await carried_out(stage)
    assert str(await stage.planned()).startswith(NOTHING_NEW)


async def test_a_plan_that_was_carried_out_in_part_is_followed_by_another_look(stage: Stage) -> None:
    await carried_out(stage, has_succeeded=False)
    assert not str(await stage.planned()).startswith(NOTHING_NEW)


async def test_another_price_is_reason_enough_to_look_again(stage: Stage) -> None:
    await carried_out(stage)
    answer = stage.market()
    rows = list(answer.quotes)
    rows[0] = rows[0]._replace(usd_per_hour=rows[0].usd_per_hour + Decimal("0.0001"))
    stage.quotes.answer = make_quotes(
        region=answer.region, as_of=answer.as_of, instance_types=answer.instance_types, quotes=rows
    )
    assert not str(await stage.planned()).startswith(NOTHING_NEW)


async def test_another_policy_is_reason_enough_to_look_again(stage: Stage) -> None:
    await carried_out(stage)
    config = stage.store.plans.configs["c1"]
    stage.store.plans.configs["c1"] = replace(config, revision=config.revision + 1)
    assert not str(await stage.planned()).startswith(NOTHING_NEW)


async def test_another_fleet_is_reason_enough_to_look_again(stage: Stage) -> None:
    found = await carried_out(stage)
    replaced = replace(found.nodes[0], created_at=stage.clock.now() + timedelta(seconds=1))
    stage.show(replace(found, nodes=(replaced, *found.nodes[1:])))
    assert not str(await stage.planned()).startswith(NOTHING_NEW)


async def test_other_pods_are_reason_enough_to_look_again(stage: Stage) -> None:
    found = await carried_out(stage)
    fewer = replace(found, pods=found.pods[1:])
    stage.show(fewer)
    assert not str(await stage.planned()).startswith(NOTHING_NEW)
