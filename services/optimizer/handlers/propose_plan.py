"""Plan one cluster: propose what saves, or say why nothing is proposed."""

import asyncio
import dataclasses
from collections.abc import Callable

import structlog

from services.optimizer import metrics
from services.optimizer.domain import planning
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.observed_memory import memory_corrections
from services.optimizer.errors import MarketUnavailableError
from services.optimizer.handlers import mapping
from services.optimizer.handlers.reasons_to_wait import (
    Inputs,
    Limits,
    digest_of,
    reason_to_leave_it,
    reason_to_wait,
)
from services.optimizer.ports import (
    Quotes,
    Skip,
    StoredPlan,
    UnitOfWork,
    UnitOfWorkFactory,
    Wanted,
)
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.optimizer import PlanningSkipped, PlanProposed, ProposePlan
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


async def want_plan(message: ProposePlan, *, uow: UnitOfWork, clock: Clock) -> None:
    """Somebody asked for a plan: it is due now."""
    await uow.plans.want(
        message.scope, message.trigger, requested_by=message.requested_by, due_at=clock.now()
    )


async def propose_plan(
    wanted: Wanted,
    *,
    unit_of_work: UnitOfWorkFactory,
    quotes: Quotes,
    clock: Clock,
    ids: Ids,
    limits: Limits,
    stopwatch: Callable[[], float],
) -> None:
    """Do what is wanted, once; the outcome and the end of the wish are one transaction."""
    async with unit_of_work() as uow:
        if not await uow.plans.is_wanted(wanted, now=clock.now()):
            return  # another replica did it between our look and our lease
        inputs = await _inputs(wanted, uow)
        reason = (
            inputs if isinstance(inputs, str) else await reason_to_wait(wanted, inputs, uow, clock, limits)
        )
    if isinstance(inputs, str) or reason is not None:
        await _skip(wanted, reason or "", unit_of_work=unit_of_work, clock=clock, ids=ids, limits=limits)
        return
    try:
        answer = await quotes.quotes(inputs.cluster.region)
    except MarketUnavailableError as error:
        await _skip(wanted, str(error), unit_of_work=unit_of_work, clock=clock, ids=ids, limits=limits)
        return
    market = mapping.market_from(answer, now=clock.now())
    digest = digest_of(inputs, market)
    async with unit_of_work() as uow:
        reason = await reason_to_leave_it(wanted, inputs, digest, uow)
    if reason is not None:
        await _skip(wanted, reason, unit_of_work=unit_of_work, clock=clock, ids=ids, limits=limits)
        return
    policy = inputs.config.policy
    is_pending = wanted.trigger is PlanTrigger.PENDING_PODS
    mode = planning.PlanMode.PENDING if is_pending else planning.PlanMode.SAVE
    began = stopwatch()
    try:
        template = mapping.template_from(inputs.config.node_template)
        observed = memory_corrections(
            inputs.view.objects.nodes, market.instance_types, ami_family=template.ami_family
        )
        draft: PlanDraft = await asyncio.to_thread(
            planning.plan,
            inputs.view.objects,
            dataclasses.replace(market, memory_corrections=observed),
            mapping.rules_from(policy),
            template,
            mode=mode,
            should_stop=lambda: stopwatch() - began >= limits.plan_time.total_seconds(),
        )
    except Exception as error:
        # One cluster that cannot be planned must not be tried for ever, before all others.
        log.exception("planning_failed", cluster_id=wanted.cluster_id)
        why = f"Planning failed: {str(error) or type(error).__name__}"
        await _skip(wanted, why, unit_of_work=unit_of_work, clock=clock, ids=ids, limits=limits)
        return
    solve_seconds = stopwatch() - began
    metrics.planning_seconds.labels(wanted.trigger.value).observe(solve_seconds)
    if not draft.moves:
        why = draft.skip_reason or "There is nothing to change."
        if draft.unplaced:
            first = draft.unplaced[0]
            why += f" {len(draft.unplaced)} pods fit nowhere; {first.pod}: {', '.join(first.reasons)}."
        await _skip(wanted, why, unit_of_work=unit_of_work, clock=clock, ids=ids, limits=limits)
        return
    proposed = mapping.plan_from(
        draft,
        plan_id=ids.new(),
        cluster=inputs.cluster,
        config=inputs.config,
        view=inputs.view,
        answer=answer,
        trigger=wanted.trigger,
        now=clock.now(),
        lifetime=limits.pending_patience if is_pending else limits.plan_lifetime,
        solve_seconds=solve_seconds,
        digest=digest,
    )
    stored = StoredPlan(proposed, plan_sha256(proposed))
    async with unit_of_work() as uow:
        await uow.plans.add_plan(stored)
        await uow.plans.done(wanted)
        if is_pending:  # others may take the room: look again until nobody waits
            await uow.plans.want(
                wanted.cluster_id,
                PlanTrigger.PENDING_PODS,
                requested_by=wanted.requested_by,
                due_at=clock.now() + limits.pending_settle,
            )
        event = PlanProposed.make(
            scope=wanted.cluster_id, clock=clock, ids=ids, plan=proposed, plan_sha256=stored.sha256
        )
        await uow.outbox.add(event)
    metrics.plans_proposed.labels(wanted.trigger.value).inc()
    log.info(
        "plan_proposed",
        plan_id=str(proposed.id),
        trigger=wanted.trigger,
        moves=len(proposed.moves),
        cost_before=str(proposed.cost_before_usd_per_hour),
        cost_after=str(proposed.cost_after_usd_per_hour),
        seconds=round(solve_seconds, 3),
    )


async def _inputs(wanted: Wanted, uow: UnitOfWork) -> Inputs | str:
    """Gather what planning needs, or say what is missing."""
    cluster = await uow.clusters.cluster(wanted.cluster_id)
    config = await uow.plans.config(wanted.cluster_id)
    if cluster is None or config is None:
        return "The cluster is not registered and configured yet."
    view = await uow.clusters.view(wanted.cluster_id)
    if view is None:
        return "The agent has not sent its first snapshot yet; is it installed and running?"
    return Inputs(cluster, config, view)


async def _skip(
    wanted: Wanted,
    reason: str,
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    limits: Limits,
) -> None:
    """Keep why nothing is proposed; pods that still wait are looked at again."""
    async with unit_of_work() as uow:
        is_pending = wanted.trigger is PlanTrigger.PENDING_PODS
        waits = is_pending and await uow.clusters.has_pending_pods(wanted.cluster_id)
        if is_pending and not waits:
            # They found a node meanwhile: that is no answer to anybody who asked for a plan.
            await uow.plans.done(wanted)
            return
        config = await uow.plans.config(wanted.cluster_id)
        before = await uow.plans.skip(wanted.cluster_id)
        await uow.plans.put_skip(wanted.cluster_id, Skip(clock.now(), wanted.trigger, reason))
        await uow.plans.done(wanted)
        is_news = before is None or (before.trigger, before.reason) != (wanted.trigger, reason)
        if config is not None and (is_news or wanted.trigger is PlanTrigger.ON_DEMAND):
            event = PlanningSkipped.make(
                scope=wanted.cluster_id,
                clock=clock,
                ids=ids,
                organization_id=config.organization_id,
                trigger=wanted.trigger,
                reason=reason,
            )
            await uow.outbox.add(event)
        if waits:
            await uow.plans.want(
                wanted.cluster_id,
                PlanTrigger.PENDING_PODS,
                requested_by=wanted.requested_by,
                due_at=clock.now() + limits.pending_settle,
            )
    metrics.plans_skipped.labels(wanted.trigger.value).inc()
    log.info("planning_skipped", cluster_id=wanted.cluster_id, trigger=wanted.trigger, reason=reason)
