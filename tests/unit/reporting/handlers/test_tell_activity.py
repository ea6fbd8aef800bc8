"""The feed's sentences, as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.reporting.handlers.tell_activity import sentence, tell_activity
from shared.contracts.base import Message
from shared.contracts.subjects import SUBJECTS
from shared.contracts.v1 import agent, executor, gateway, optimizer, plan, pricing
from shared.contracts.v1.executor import ExecutionStatus, StepKind, StepStatus
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.reporting import InMemoryFeed, SetClock, SteadyIds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAN_ID = UUID("01890000-0000-7000-8000-0000deadbeef")
SPOT = make_pool("m5.large", capacity_type=CapacityType.SPOT)
OWN = {"organization_id": "acme", "execution_id": PLAN_ID}

NOT_TOLD = frozenset(
    {
        agent.SnapshotChunkPublished,
        agent.ClusterChanged,
        agent.HeartbeatSent,
        gateway.AuditRecorded,
        pricing.OfferingPricesChanged,
    }
)


def make(message: type[Message], **fields: Any) -> Message:
    return message.make(scope="c1", clock=SetClock(NOON), ids=SteadyIds(), **fields)


def proposed(**fields: Any) -> Message:
    inputs = plan.PlanInputs(
        cluster_epoch=1,
        cluster_sequence=1,
        policy_revision=1,
        prices_as_of=None,
        price_age_seconds=None,
        risk_source="none",
    )
    made = plan.Plan(
        id=PLAN_ID,
        organization_id="acme",
        cluster_id="c1",
        trigger=PlanTrigger.TIMER,
        created_at=NOON,
        expires_at=NOON,
        inputs=inputs,
        nodes_before=7,
        nodes_after=3,
        cost_after_usd_per_hour=Decimal("0.35"),
        moves=(),
        **fields,
    )
    return make(optimizer.PlanProposed, plan=made, plan_sha256="0")


SENTENCES: list[tuple[Callable[[], Message], str | None]] = [
    (
        lambda: make(
            gateway.ClusterRegistered,
            organization_id="acme",
            name="prod",
            cloud_account=gateway.CloudAccountRef(id="a", account_number="1", region="us-east-1"),
        ),
        "Cluster prod in us-east-1 was connected.",
    ),
    (
        lambda: proposed(cost_before_usd_per_hour=Decimal("12.5")),
        "Planned 0 moves on the timer: 7 → 3 nodes, $12.50 → $0.3500/h.",
    ),
    (
        lambda: proposed(
            cost_before_usd_per_hour=None, unplaced=(plan.UnplacedPod(pod="a/b", reasons=("too large",)),)
        ),
        "Planned 0 moves on the timer: 7 → 3 nodes; 1 pod could not be placed.",
    ),
    (
        lambda: make(
            optimizer.PlanningSkipped,
            organization_id="acme",
            trigger=PlanTrigger.ON_DEMAND,
            reason="it would save 2 % only.",
        ),
        "No plan was made on demand: it would save 2 % only.",
    ),
    (
        lambda: make(
            optimizer.PlanningSkipped,
            organization_id="acme",
            trigger=PlanTrigger.ON_DEMAND,
            reason="No snapshot yet; is the agent running?",
        ),
        "No plan was made on demand: No snapshot yet; is the agent running?",
    ),
    (
        lambda: make(
            gateway.PlanApproved,
            organization_id="acme",
            plan_id=PLAN_ID,
            plan_sha256="0",
            approved_by="autopilot",
        ),
        "The plan deadbeef was approved by autopilot.",
    ),
    (
        lambda: make(executor.ExecutionStarted, **OWN, plan_id=PLAN_ID, trigger="timer", steps=1),
        "An execution of 1 step started for the plan deadbeef.",
    ),
    (
        lambda: make(
            executor.ExecutionStarted, **OWN, plan_id=None, trigger="interrupted", steps=4, dry_run=True
        ),
        "A dry run (safe mode is on) of 4 steps started for an interrupted node.",
    ),
    (
        lambda: make(
            executor.StepChanged,
            **OWN,
            step_id=PLAN_ID,
            move_id="m1",
            kind=StepKind.DRAIN,
            status=StepStatus.FAILED,
            subject="node-1",
            detail="blocked by shop/web.",
        ),
        "Draining node-1 failed: blocked by shop/web.",
    ),
    (
        lambda: make(
            executor.StepChanged,
            **OWN,
            step_id=PLAN_ID,
            move_id="m1",
            kind=StepKind.LAUNCH,
            status=StepStatus.SUCCEEDED,
            subject="i-1",
        ),
        None,
    ),
    (
        lambda: make(
            executor.ExecutionFinished,
            **OWN,
            plan_id=PLAN_ID,
            status=ExecutionStatus.PARTLY,
            steps_succeeded=5,
            steps_failed=1,
            steps_skipped=2,
        ),
        "The execution finished in part: 5 steps succeeded, 1 failed, 2 were skipped.",
    ),
    (
        lambda: make(
            executor.InstanceLaunched, **OWN, instance_id="i-1", pool=SPOT, usd_per_hour=Decimal("0.035")
        ),
        "Launched a spot m5.large in use1-az1 for $0.0350/h.",
    ),
    (
        lambda: make(executor.InstanceTerminated, **OWN, instance_id="i-1", node_name="node-1"),
        "Terminated the instance i-1 of node node-1.",
    ),
    (
        lambda: make(
            executor.NodeInterrupted,
            organization_id="acme",
            node_name="node-1",
            instance_id="i-1",
            kind=InterruptionKind.SPOT_INTERRUPTION,
            pool=SPOT,
        ),
        "EC2 takes node node-1 away in two minutes (spot m5.large in use1-az1).",
    ),
    (
        lambda: make(executor.CapacityInsufficient, organization_id="acme", pool=make_pool("m5.large")),
        "EC2 had no capacity for an on-demand m5.large in use1-az1; the next offering is tried.",
    ),
]


@pytest.mark.parametrize(("message", "expected"), SENTENCES)
def test_sentences(message: Callable[[], Message], expected: str | None) -> None:
    assert sentence(message()) == expected


def test_everything_reporting_consumes_is_told_or_left_out_on_purpose() -> None:
    consumed = {s.message for s in SUBJECTS if s.stream is not None and "reporting" in s.consumers}
    told = {type(message()) for message, _ in SENTENCES}
    assert consumed - told == NOT_TOLD


@pytest.mark.parametrize("kind", list(InterruptionKind))
def test_every_kind_of_notice_has_a_sentence(kind: InterruptionKind) -> None:
    told = sentence(
        make(
            executor.NodeInterrupted,
            organization_id="acme",
            node_name="node-1",
            instance_id="i-1",
            kind=kind,
            pool=None,
        )
    )
    assert told is not None
    assert told.endswith(".")
    assert "node-1" in told


async def test_a_message_is_told_once_to_its_organization_only() -> None:
    feed = InMemoryFeed()
    message = SENTENCES[0][0]()
    for _ in range(2):
        await tell_activity(message, organization_id="acme", uow=feed.as_unit_of_work())
    assert [(h.at, h.cluster_id, h.kind) for h in feed.activity.lines.values()] == [
        (NOON, "c1", "cluster_registered")
    ]
    assert set(feed.acted_for) == {"acme"}
