"""The optimizer's store of plans and wishes in memory and in Postgres keep the same promises."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from services.optimizer.adapters.postgres import factory
from services.optimizer.ports import Config, Finished, Skip, StoredPlan, UnitOfWork
from shared.contracts.v1.agent import PodUsage
from shared.contracts.v1.plan import Plan, PlanInputs, PlanTrigger
from shared.contracts.v1.policy import NodeTemplate, Policy, SubnetRef
from shared.runtime.postgres import Database
from tests.fakes.clock import EPOCH
from tests.fakes.optimizer import InMemoryOptimizer

MakeDatabase = Callable[[str], Awaitable[Database]]
MINUTE = timedelta(minutes=1)
TIMER, PENDING = PlanTrigger.TIMER, PlanTrigger.PENDING_PODS
SUBNET = SubnetRef(subnet_id="s", zone="us-east-1a", zone_id="use1-az1")
TEMPLATE = NodeTemplate(launch_template_id="lt", subnets=(SUBNET,))


@pytest.fixture
async def uow(make_any_database: MakeDatabase | None) -> AsyncIterator[UnitOfWork]:
    """An open transaction over an empty store."""
    unit_of_work = (
        InMemoryOptimizer().unit_of_work
        if make_any_database is None
        else factory(await make_any_database("optimizer"))
    )
    async with unit_of_work() as opened:
        yield opened


def config(revision: int, *, organization_id: str = "o1") -> Config:
    return Config(organization_id, revision, Policy(), TEMPLATE)


def stored(number: int, *, cluster_id: str = "c1", trigger: PlanTrigger = TIMER) -> StoredPlan:
    """A plan made so many minutes after the beginning."""
    plan = Plan(
        id=UUID(int=number),
        organization_id="o1",
        cluster_id=cluster_id,
        trigger=trigger,
        created_at=EPOCH + number * MINUTE,
        expires_at=EPOCH + timedelta(days=1),
        inputs=PlanInputs(
            cluster_epoch=1,
            cluster_sequence=1,
            policy_revision=1,
            prices_as_of=None,
            price_age_seconds=None,
            risk_source="none",
        ),
        nodes_before=1,
        nodes_after=1,
        cost_before_usd_per_hour=None,
        cost_after_usd_per_hour=None,
        moves=(),
    )
    return StoredPlan(plan, f"{number:064x}")


async def test_the_highest_revision_holds(uow: UnitOfWork) -> None:
    assert await uow.plans.config("c1") is None
    kept = [await uow.plans.put_config("c1", config(n)) for n in (2, 1, 2, 3)]
    assert kept == [True, False, False, True]
    assert await uow.plans.config("c1") == config(3)
    assert await uow.plans.config("c2") is None


async def test_asking_again_raises_the_version_and_keeps_the_earlier_time(uow: UnitOfWork) -> None:
    await uow.plans.want("c1", PENDING, requested_by="first", due_at=EPOCH + MINUTE)
    assert await uow.plans.due(now=EPOCH, limit=9) == []
    await uow.plans.want("c1", PENDING, requested_by="second", due_at=EPOCH + 5 * MINUTE)
    [wanted] = await uow.plans.due(now=EPOCH + MINUTE, limit=9)
    assert (wanted.requested_by, wanted.version) == ("first", 2)
    await uow.plans.want("c1", PENDING, requested_by="third", due_at=EPOCH)
    assert len(await uow.plans.due(now=EPOCH, limit=9)) == 1


async def test_what_is_due_comes_oldest_first_and_not_all_at_once(uow: UnitOfWork) -> None:
    for number in (3, 1, 2):
        await uow.plans.want(f"c{number}", TIMER, requested_by="t", due_at=EPOCH + number * MINUTE)
    due = await uow.plans.due(now=EPOCH + 3 * MINUTE, limit=2)
    assert [wanted.cluster_id for wanted in due] == ["c1", "c2"]


async def test_a_wish_is_done_unless_it_was_made_again(uow: UnitOfWork) -> None:
    async def wish() -> None:
        await uow.plans.want("c1", TIMER, requested_by="t", due_at=EPOCH)

    await wish()
    [old] = await uow.plans.due(now=EPOCH, limit=9)
    assert await uow.plans.is_wanted(old, now=EPOCH)
    assert not await uow.plans.is_wanted(old, now=EPOCH - MINUTE), "not due yet"
    await wish()
    assert not await uow.plans.is_wanted(old, now=EPOCH)
    await uow.plans.done(old)
    [new] = await uow.plans.due(now=EPOCH, limit=9)
    await uow.plans.done(new)
    assert await uow.plans.due(now=EPOCH, limit=9) == []
    assert not await uow.plans.is_wanted(new, now=EPOCH)


async def test_all_means_every_configured_cluster_and_no_wish_twice(uow: UnitOfWork) -> None:
    for cluster_id in ("c1", "c2"):
        await uow.plans.put_config(cluster_id, config(1))
    for minutes in (1, 0):
        await uow.plans.want_all(TIMER, requested_by="timer", due_at=EPOCH + minutes * MINUTE)
    assert await uow.plans.due(now=EPOCH, limit=9) == [], "the first wish keeps its time"
    due = await uow.plans.due(now=EPOCH + MINUTE, limit=9)
    assert sorted((w.cluster_id, w.version) for w in due) == [("c1", 1), ("c2", 1)]


async def test_plans_are_listed_newest_first_and_shown_to_their_cluster(uow: UnitOfWork) -> None:
    for number in (1, 3, 2):
        await uow.plans.add_plan(stored(number))
    await uow.plans.add_plan(stored(9, cluster_id="c2"))
    assert [p.id.int for p in await uow.plans.plans("c1", limit=2)] == [3, 2]
    assert await uow.plans.plan("c1", UUID(int=3)) == stored(3)
    assert await uow.plans.plan("c2", UUID(int=3)) is None
    assert await uow.plans.plan("c1", UUID(int=99)) is None


async def test_the_last_skip_is_kept(uow: UnitOfWork) -> None:
    assert await uow.plans.skip("c1") is None
    for reason in ("first", "second"):
        await uow.plans.put_skip("c1", Skip(EPOCH, TIMER, reason))
    assert await uow.plans.skip("c1") == Skip(EPOCH, TIMER, "second")


async def test_an_execution_runs_until_its_end_in_whatever_order_both_are_heard(uow: UnitOfWork) -> None:
    one, other = UUID(int=1), UUID(int=2)
    await uow.plans.execution_started("c1", one, plan_id=None, trigger="timer", at=EPOCH)
    await uow.plans.execution_finished("c1", other, at=EPOCH + MINUTE, has_succeeded=False)
    await uow.plans.execution_started("c1", other, plan_id=None, trigger="pending_pods", at=EPOCH)
    assert list(await uow.plans.running("c1")) == ["timer"]
    assert await uow.plans.last_finished("c1") == Finished(None, EPOCH + MINUTE, has_succeeded=False)
    await uow.plans.execution_finished("c1", one, at=EPOCH + 2 * MINUTE, has_succeeded=True)
    assert list(await uow.plans.running("c1")) == []
    last = await uow.plans.last_finished("c1")
    assert last is not None
    assert (last.at, last.has_succeeded) == (EPOCH + 2 * MINUTE, True)
    assert await uow.plans.last_finished("c2") is None


async def test_a_plan_is_open_until_an_execution_of_it_begins(uow: UnitOfWork) -> None:
    for number in (1, 2):
        await uow.plans.add_plan(stored(number, trigger=PENDING))
    await uow.plans.add_plan(stored(5, trigger=TIMER))

    async def open_since(minutes: int) -> object:
        return await uow.plans.open_plan_at("c1", PENDING, since=EPOCH + minutes * MINUTE)

    assert await open_since(0) == EPOCH + 2 * MINUTE
    assert await open_since(3) is None
    await uow.plans.execution_started("c1", UUID(int=7), plan_id=UUID(int=2), trigger="x", at=EPOCH)
    assert await open_since(0) == EPOCH + MINUTE


async def test_usage_of_many_pods_is_taken(uow: UnitOfWork) -> None:
    sample = PodUsage(pod="shop/web-0", cpu_millicores=10, memory_bytes=2**40)
    for _ in range(2):
        await uow.plans.add_usage("c1", [("shop/Deployment/web", sample)] * 3, at=EPOCH)
    await uow.plans.add_usage("c1", [], at=EPOCH)
