"""A wish becomes a plan, or a reason; either way it is done once, and nobody else waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.optimizer.entrypoints import ticker
from services.optimizer.handlers.propose_plan import want_plan
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.optimizer import PlanningSkipped, PlanProposed, ProposePlan
from shared.contracts.v1.plan import Plan, PlanTrigger
from shared.contracts.v1.pricing import (
    FlagReason,
    LiveFlag,
    OfferingQuotes,
    PriceOrigin,
)
from shared.kernel.errors import UnavailableError
from shared.kernel.pools import CapacityType
from shared.kernel.workload import PodPhase
from shared.runtime.leases import Lease
from tests.builders import make_pod
from tests.fakes.clock import EPOCH
from tests.fakes.optimizer import FakeQuotes
from tests.quotes import make_quotes
from tests.unit.optimizer.handlers.stage import LIMITS, WASTEFUL, Stage

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_a_plan_says_what_it_was_made_from_and_is_told_with_its_digest(stage: Stage) -> None:
    plan = await stage.planned()
    assert isinstance(plan, Plan)
    assert (plan.cluster_id, plan.organization_id, plan.trigger) == ("c1", "o1", PlanTrigger.ON_DEMAND)
    assert (plan.inputs.cluster_epoch, plan.inputs.cluster_sequence, plan.inputs.policy_revision) == (
        7,
        42,
        3,
    )
    assert (plan.inputs.prices_as_of, plan.inputs.risk_source) == (EPOCH, "none")
    [source] = plan.inputs.price_sources
    assert (source.name, source.origin, source.as_of) == ("price_list", PriceOrigin.UPLOAD, EPOCH)
    assert plan.expires_at - plan.created_at == LIMITS.plan_lifetime
    assert plan.solve_seconds == 2.5
    assert plan.nodes_after < plan.nodes_before == 4
    assert plan.cost_before_usd_per_hour == Decimal("1.536")
    assert plan.cost_after_usd_per_hour is not None
    assert plan.cost_after_usd_per_hour < plan.cost_before_usd_per_hour
    assert plan.baseline_rate is not None
    assert plan.moves
    [told] = stage.store.sent
    assert isinstance(told, PlanProposed)
    assert told.scope == "c1"
    kept = stage.store.plans.kept[plan.id]
    assert kept.sha256 == told.plan_sha256 == plan_sha256(plan)
    assert stage.store.plans.wishes == {}


async def test_a_plan_describes_every_type_that_may_be_launched_and_no_other(stage: Stage) -> None:
    plan = await stage.planned()
    assert not isinstance(plan, str)
    choices = [o for move in plan.moves for launch in move.launches for o in launch.offerings]
    assert [t.name for t in plan.instance_types] == sorted({o.pool.instance_type for o in choices})
    answer = await stage.quotes.quotes("us-east-1")
    assert 0 < len(plan.instance_types) < len(answer.instance_types)
    assert all(kind in answer.instance_types for kind in plan.instance_types)


async def test_a_freshly_flagged_pool_is_avoided_and_the_plan_says_so_until_the_flag_fades(
    stage: Stage,
) -> None:
    free = await stage.planned()
    assert not isinstance(free, str)
    bought = {o.pool for m in free.moves for launch in m.launches for o in launch.offerings}
    best = free.moves[0].launches[0].offerings[0].pool
    now = stage.clock.now()
    flag = LiveFlag(
        pool=best,
        reason=FlagReason.INSUFFICIENT_CAPACITY,
        raised_at=now - timedelta(minutes=5),
        expires_at=now + timedelta(minutes=25),
    )
    answer = stage.market()
    stage.quotes.answer = answer.model_copy(update={"flags": (flag,)})
    careful = await stage.planned()
    assert not isinstance(careful, str)
    assert best in bought
    assert best not in {o.pool for m in careful.moves for launch in m.launches for o in launch.offerings}
    since = f"{flag.raised_at:%H:%M}"
    assert f"Pool {best} is flagged since {since} UTC: nothing new is launched there." in careful.notes
    faded = flag.model_copy(
        update={"raised_at": now - timedelta(minutes=20), "expires_at": now + timedelta(minutes=10)}
    )
    stage.quotes.answer = answer.model_copy(update={"flags": (faded,)})
    later = await stage.planned()
    assert not isinstance(later, str)
    assert best in {o.pool for m in later.moves for launch in m.launches for o in launch.offerings}


async def test_the_digest_outlives_the_wire(stage: Stage) -> None:
    plan = await stage.planned()
    assert isinstance(plan, Plan)
    again = Plan.model_validate_json(plan.model_dump_json())
    assert plan_sha256(again) == plan_sha256(plan)
    changed = again.model_copy(update={"nodes_after": 99})
    assert plan_sha256(changed) != plan_sha256(plan)


async def test_a_cluster_that_nobody_registered_is_not_planned(stage: Stage) -> None:
    wanted = await stage.want()
    stage.store.clusters.records.clear()
    await stage.plan(wanted)
    skip = stage.store.plans.skips["c1"]
    assert "not registered and configured" in skip.reason
    assert stage.store.plans.wishes == {}


async def test_without_a_configuration_nobody_can_be_told(stage: Stage) -> None:
    wanted = await stage.want()
    stage.store.plans.configs.clear()
    await stage.plan(wanted)
    assert stage.store.sent == [], "the organization is unknown"
    assert "not registered and configured" in stage.store.plans.skips["c1"].reason


async def test_before_the_first_snapshot(stage: Stage) -> None:
    stage.store.clusters.views.clear()
    assert "first snapshot" in str(await stage.planned())
    assert stage.quotes.asked == []


async def test_a_silent_agent(stage: Stage) -> None:
    stage.quotes.answer = stage.market()
    stage.show(WASTEFUL)
    await stage.clock.sleep(121)
    assert "silent for 121 s" in str(await stage.planned())


async def test_an_agent_whose_clock_is_ahead(stage: Stage) -> None:
    view = stage.store.clusters.views["c1"]
    stage.store.clusters.views["c1"] = replace(view, as_of=stage.clock.now() + timedelta(hours=1))
    assert "3600 s ahead" in str(await stage.planned())


async def test_without_prices(stage: Stage) -> None:
    stage.quotes.answer = None
    assert await stage.planned() == "pricing does not answer."


async def test_nothing_to_save(stage: Stage) -> None:
    plan = await stage.planned()
    assert isinstance(plan, Plan)
    stage.configure(min_savings_ratio=0.99)
    assert "less than the 99.0% that the policy asks for" in str(await stage.planned())


@pytest.mark.parametrize("trigger", [PlanTrigger.ON_DEMAND, PlanTrigger.TIMER])
async def test_while_an_execution_runs_no_savings_are_planned(stage: Stage, trigger: PlanTrigger) -> None:
    await stage.store.plans.execution_started(
        "c1", stage.ids.new(), plan_id=None, trigger="pending_pods", at=stage.clock.now()
    )
    assert "under way (pending_pods)" in str(await stage.planned(trigger))


async def test_only_the_timer_lets_a_cluster_settle(stage: Stage) -> None:
    await stage.store.plans.execution_finished(
        "c1", stage.ids.new(), at=stage.clock.now(), has_succeeded=True
    )
    await stage.clock.sleep(599)
    stage.show(WASTEFUL)
    assert "ended 599 s ago" in str(await stage.planned(PlanTrigger.TIMER))
    assert isinstance(await stage.planned(PlanTrigger.ON_DEMAND), Plan)
    await stage.clock.sleep(1)
    assert isinstance(await stage.planned(PlanTrigger.TIMER), Plan)


async def test_pending_pods_get_room_and_nothing_else_is_moved(stage: Stage) -> None:
    stage.show_pending()
    await stage.store.plans.execution_started(
        "c1", stage.ids.new(), plan_id=None, trigger="timer", at=stage.clock.now()
    )
    plan = await stage.planned(PlanTrigger.PENDING_PODS)
    assert isinstance(plan, Plan)
    assert [(move.kind.value, move.drains) for move in plan.moves] == [("launch", ())]
    assert plan.moves[0].launches[0].pods == ("shop/big",)
    assert plan.expires_at - plan.created_at == LIMITS.pending_patience


async def test_pods_that_found_a_node_meanwhile_are_no_reason_that_anybody_is_told(stage: Stage) -> None:
    wanted = await stage.want(PlanTrigger.PENDING_PODS)
    await stage.plan(wanted)
    assert stage.store.plans.wishes == {}
    assert stage.store.plans.skips == {}
    assert stage.store.sent == []


async def test_one_plan_for_the_same_pending_pods_until_patience_ends(stage: Stage) -> None:
    stage.show_pending()
    first = await stage.planned(PlanTrigger.PENDING_PODS)
    assert isinstance(first, Plan)
    [again] = stage.store.plans.wishes.values()
    assert again[1] == stage.clock.now() + LIMITS.pending_settle, "looked at again until nobody waits"
    await stage.clock.sleep(60)
    stage.show_pending()
    assert "about to be carried out" in str(await stage.planned(PlanTrigger.PENDING_PODS))
    await stage.store.plans.execution_started(
        "c1", stage.ids.new(), plan_id=first.id, trigger="pending_pods", at=stage.clock.now()
    )
    assert "being launched already" in str(await stage.planned(PlanTrigger.PENDING_PODS))


async def test_a_wish_that_is_not_due_yet_is_left_alone(stage: Stage) -> None:
    wanted = await stage.want(PlanTrigger.PENDING_PODS)
    await stage.store.plans.done(wanted)
    later = stage.clock.now() + timedelta(seconds=1)
    await stage.store.plans.want("c1", PlanTrigger.PENDING_PODS, requested_by="u1", due_at=later)
    await stage.plan(wanted)
    assert stage.store.sent == []
    assert len(stage.store.plans.wishes) == 1


async def test_pods_that_wait_are_looked_at_again_after_each_reason(stage: Stage) -> None:
    stage.show_pending()
    stage.configure(launch_for_pending=False)
    reason = await stage.planned(PlanTrigger.PENDING_PODS)
    assert "policy does not let nodes be launched" in str(reason)
    _, due_at = stage.store.plans.wishes["c1", PlanTrigger.PENDING_PODS]
    assert due_at == stage.clock.now() + LIMITS.pending_settle


async def test_the_same_reason_is_told_once_unless_somebody_asked(stage: Stage) -> None:
    stage.quotes.answer = None
    for trigger in (PlanTrigger.TIMER, PlanTrigger.TIMER, PlanTrigger.ON_DEMAND, PlanTrigger.ON_DEMAND):
        await stage.plan(await stage.want(trigger))
    assert [m.trigger for m in stage.store.sent if isinstance(m, PlanningSkipped)] == [
        PlanTrigger.TIMER,
        PlanTrigger.ON_DEMAND,
        PlanTrigger.ON_DEMAND,
    ]


async def test_who_asks_while_we_plan_is_answered_too(stage: Stage) -> None:
    wanted = await stage.want()

    class AskingQuotes(FakeQuotes):
        async def quotes(self, region: str) -> OfferingQuotes:
            await stage.want()
            return await super().quotes(region)

    stage.quotes = AskingQuotes(stage.quotes.answer)
    await stage.plan(wanted)
    assert len(stage.store.sent) == 1
    held, _ = stage.store.plans.wishes["c1", PlanTrigger.ON_DEMAND]
    assert held.version == wanted.version + 1


async def test_a_wish_that_another_replica_fulfilled_is_not_planned_again(stage: Stage) -> None:
    wanted = await stage.want()
    await stage.plan(wanted)
    await stage.plan(wanted)
    assert len(stage.store.sent) == 1


async def test_what_could_not_be_stored_is_wanted_still(stage: Stage) -> None:
    wanted = await stage.want()

    class LosingQuotes(FakeQuotes):
        async def quotes(self, region: str) -> OfferingQuotes:
            stage.store.next_error = UnavailableError("no database")
            return await super().quotes(region)

    stage.quotes = LosingQuotes(stage.quotes.answer)
    with pytest.raises(UnavailableError):
        await stage.plan(wanted)
    assert stage.store.sent == []
    assert await stage.store.plans.is_wanted(wanted, now=stage.clock.now())


async def test_a_cluster_that_breaks_the_planner_gets_a_reason_and_blocks_no_other(stage: Stage) -> None:
    node = replace(WASTEFUL.nodes[0], labels=None)  # type: ignore[arg-type]
    stage.show(replace(WASTEFUL, nodes=(node,)))
    assert str(await stage.planned()).startswith("Planning failed: ")
    assert stage.store.plans.wishes == {}


async def test_unplaced_pods_are_named(stage: Stage) -> None:
    stage.show(replace(WASTEFUL, pods=(make_pod("huge", cpu=500_000),), nodes=()))
    assert "1 pods fit nowhere; shop/huge" in str(await stage.planned(PlanTrigger.PENDING_PODS))


async def test_a_command_makes_a_wish_that_is_due_now(stage: Stage) -> None:
    message = ProposePlan.make(scope="c1", clock=stage.clock, ids=stage.ids, requested_by="u7")
    async with stage.store.unit_of_work() as uow:
        await want_plan(message, uow=uow, clock=stage.clock)
    [wanted] = await stage.store.plans.due(now=stage.clock.now(), limit=9)
    assert (wanted.requested_by, wanted.trigger) == ("u7", PlanTrigger.ON_DEMAND)


@pytest.mark.parametrize("is_free", [True, False])
async def test_a_cluster_that_another_replica_plans_is_left_to_it(stage: Stage, *, is_free: bool) -> None:
    await stage.want()
    names: list[str] = []

    @asynccontextmanager
    async def hold(name: str, _lifetime: timedelta) -> AsyncIterator[Lease | None]:
        names.append(name)
        yield Lease(name, "me", 1) if is_free else None

    await ticker.plan_due(
        unit_of_work=stage.store.unit_of_work,
        hold=hold,
        quotes=stage.quotes,
        clock=stage.clock,
        ids=stage.ids,
        limits=LIMITS,
    )
    assert names == ["plan:c1"]
    assert len(stage.store.sent) == int(is_free)
    assert await stage.store.plans.due(now=stage.clock.now(), limit=9) == [] or not is_free


async def test_the_timer_wants_every_configured_cluster_once(stage: Stage) -> None:
    for _ in range(2):
        await ticker.plan_all(unit_of_work=stage.store.unit_of_work, clock=stage.clock)
    [wanted] = await stage.store.plans.due(now=stage.clock.now(), limit=9)
    assert (wanted.trigger, wanted.version) == (PlanTrigger.TIMER, 1)
    assert PodPhase.PENDING not in {pod.phase for pod in WASTEFUL.pods}


async def test_a_plan_names_every_source_of_its_risks(stage: Stage) -> None:
    market = stage.market()
    said = ("spot_advisor", "spot_advisor+observed+model:abc", "spot_advisor")
    quotes = [
        quote._replace(
            pool=replace(quote.pool, capacity_type=CapacityType.SPOT),
            interruption_probability=0.001,
            risk_source=source,
        )
        for quote, source in zip(market.quotes, said, strict=False)
    ]
    stage.quotes.answer = make_quotes(
        region=market.region,
        as_of=market.as_of,
        instance_types=market.instance_types,
        quotes=[*market.quotes, *quotes],
    )
    plan = await stage.planned()
    assert isinstance(plan, Plan)
    assert plan.inputs.risk_source == "spot_advisor, spot_advisor+observed+model:abc"
