"""Deeds are chained, pages can be read, and tampering shows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.reporting.handlers.append_audit import append_finished, append_recorded, append_started
from services.reporting.handlers.show_audit import show_audit
from shared.contracts.v1.executor import ExecutionFinished, ExecutionStarted, ExecutionStatus
from shared.contracts.v1.gateway import AuditRecorded
from shared.contracts.v1.reporting import Audit, GetAudit
from tests.fakes.reporting import InMemoryFeed, SetClock, SteadyIds

CLOCK = SetClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
IDS = SteadyIds()
EXECUTION = UUID(int=7)


async def filled(entries: int = 5) -> InMemoryFeed:
    feed = InMemoryFeed()
    for number in range(entries):
        event = AuditRecorded.make(
            scope="acme",
            clock=CLOCK,
            ids=IDS,
            actor="user-1",
            action="approve_plan",
            target=str(number),
            remote_address="192.0.2.1",
        )
        await append_recorded(event, uow=feed.as_unit_of_work())
    return feed


async def read(feed: InMemoryFeed, *, after: int = 0, limit: int = 100) -> Audit:
    request = GetAudit.make(scope="acme", clock=CLOCK, ids=IDS, after=after, limit=limit)
    return await show_audit(request, unit_of_work=feed)


@pytest.mark.parametrize(
    ("after", "limit", "positions"),
    [
        (0, 100, [1, 2, 3, 4, 5]),
        (0, 2, [1, 2]),
        (2, 2, [3, 4]),
        (4, 2, [5]),
        (5, 9, []),
        (9, 9, []),
        (-3, 1, [1]),
    ],
)
async def test_any_page_of_an_intact_log_is_intact(after: int, limit: int, positions: list[int]) -> None:
    page = await read(await filled(), after=after, limit=limit)
    assert [entry.position for entry in page.entries] == positions
    assert page.is_chain_intact


async def test_an_empty_log_is_intact() -> None:
    assert await read(await filled(0)) == Audit(entries=(), is_chain_intact=True)


def _forge(feed: InMemoryFeed) -> None:
    link = feed.audit.log[2]
    feed.audit.log[2] = replace(link, deed=replace(link.deed, actor="somebody else"))


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(_forge, id="an entry is changed"),
        pytest.param(lambda feed: feed.audit.log.pop(2), id="an entry is deleted"),
        pytest.param(lambda feed: feed.audit.log.pop(), id="the last entry is deleted"),
        pytest.param(lambda feed: feed.audit.log.clear(), id="all entries are deleted"),
        pytest.param(lambda feed: feed.audit.log.reverse(), id="entries are reordered"),
    ],
)
async def test_tampering_shows(tamper: Callable[[InMemoryFeed], object]) -> None:
    feed = await filled()
    tamper(feed)
    assert not (await read(feed)).is_chain_intact


async def test_what_the_executor_did_is_chained_too() -> None:
    feed = await filled(1)
    started = ExecutionStarted.make(
        scope="c1",
        clock=CLOCK,
        ids=IDS,
        organization_id="acme",
        execution_id=EXECUTION,
        plan_id=None,
        trigger="interrupted",
        steps=3,
    )
    finished = ExecutionFinished.make(
        scope="c1",
        clock=CLOCK,
        ids=IDS,
        organization_id="acme",
        execution_id=EXECUTION,
        plan_id=None,
        status=ExecutionStatus.SUCCEEDED,
        steps_succeeded=3,
        steps_failed=0,
        steps_skipped=0,
    )
    await append_started(started, uow=feed.as_unit_of_work())
    await append_finished(finished, uow=feed.as_unit_of_work())
    page = await read(feed)
    assert page.is_chain_intact
    assert [(e.actor, e.action) for e in page.entries] == [
        ("user-1", "approve_plan"),
        ("service:executor", "start_execution"),
        ("service:executor", "finish_execution"),
    ]
    assert page.entries[0].detail == {"remote_address": "192.0.2.1"}
    assert page.entries[2].target == str(EXECUTION)
