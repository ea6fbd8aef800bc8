"""One turn of one execution: look, draw consequences, work on every step that may run, finish when none is left.

Nothing is kept between turns but what the tables hold, so any replica may take the next one.
"""

import asyncio
from collections.abc import Awaitable
from datetime import time, timedelta
from uuid import UUID

import structlog

from services.executor.domain import guardrails, lifecycle
from services.executor.domain.steps import Errand, ExecutionStatus, MoveSteps, Step, StepKind, by_move
from services.executor.errors import LeaseLostError
from services.executor.handlers.await_node import await_node
from services.executor.handlers.drain_node import cordon_node, drain_node, uncordon_node
from services.executor.handlers.finish_execution import finish_execution
from services.executor.handlers.launch_instance import launch_instance
from services.executor.handlers.record_step import fenced, record_step
from services.executor.handlers.terminate_instance import (
    release_instance,
    terminate_instance,
    verify_termination,
)
from services.executor.ports import Scene, Tools
from shared.contracts.v1.policy import Policy

log = structlog.get_logger(__name__)

CONSEQUENCES_DEPTH = 5
"""Skipping one step may skip another; deeper than a move is long it never goes."""


async def advance_execution(execution_id: UUID, *, token: int, tools: Tools) -> None:
    """Bring an execution forward as far as it goes now.

    Raises:
        LeaseLostError: another replica has taken it over.
        ExceptionGroup: steps failed in a way nobody foresaw; the others went on.
    """
    for _ in range(CONSEQUENCES_DEPTH):
        scene = await _look(execution_id, token, tools)
        if scene is None:
            return
        moves = by_move(scene.steps)
        window_is_open = _window_is_open(scene, tools)
        if not await _draw_consequences(moves, scene, tools, window_is_open=window_is_open):
            break
    else:
        return
    work: list[Awaitable[None]] = [
        uncordon_node(step, scene=scene, tools=tools)
        for step in scene.steps
        if step.uncordon is Errand.WANTED
    ]
    work += [
        release_instance(attempt, scene=scene, tools=tools)
        for attempt in scene.attempts
        if attempt.release is Errand.WANTED
    ]
    if not work and all(move.is_over for move in moves):
        await finish_execution(scene=scene, tools=tools)
        return
    policy = scene.config.policy
    objects = scene.picture.objects if scene.picture else None
    limits = lifecycle.Limits(
        launches_in_flight=tools.pace.max_launches_in_flight,
        disrupted_nodes=guardrails.disruption_limit(
            len(objects.nodes) if objects else 0, ratio=policy.max_disrupted_nodes_ratio
        ),
        window_is_open=window_is_open,
    )
    steps = lifecycle.runnable(
        scene.execution,
        moves,
        limits=limits,
        disrupted=guardrails.cordoned(objects) if objects else (),
        now=tools.clock.now(),
    )
    work += [_work_on(step, scene, tools) for step in steps]
    failures = [e for e in await asyncio.gather(*work, return_exceptions=True) if isinstance(e, Exception)]
    for failure in failures:
        if isinstance(failure, LeaseLostError):
            raise failure
    if failures:
        raise ExceptionGroup(f"execution {execution_id}", failures)


async def _look(execution_id: UUID, token: int, tools: Tools) -> Scene | None:
    async with tools.unit_of_work() as uow:
        execution = await uow.executions.fence(execution_id, token)
        if execution.status is not ExecutionStatus.RUNNING:
            return None
        cluster = await uow.clusters.cluster(execution.cluster_id)
        config = await uow.clusters.config(execution.cluster_id)
        if cluster is None or config is None:
            return None
        steps = await uow.executions.steps(execution_id)
        attempts = await uow.executions.attempts(execution_id)
        picture = await uow.clusters.picture(execution.cluster_id)
        flagged = await uow.flags.live(cluster.region, now=tools.clock.now())
    return Scene(
        execution=execution,
        steps=steps,
        attempts=attempts,
        cluster=cluster,
        config=config,
        picture=picture,
        flagged=flagged,
        switch=await tools.safe_mode.read(
            organization_id=execution.organization_id, cluster_id=execution.cluster_id
        ),
        token=token,
    )


async def _draw_consequences(
    moves: tuple[MoveSteps, ...], scene: Scene, tools: Tools, *, window_is_open: bool
) -> bool:
    changed = lifecycle.consequences(
        scene.execution, moves, window_is_open=window_is_open, now=tools.clock.now()
    )
    if not scene.execution.is_interruption:
        changed += tuple(step for move in moves for step in lifecycle.uncordons_due(move))
    if not changed:
        return False
    by_id = {step.id: step for step in scene.steps}
    async with fenced(scene, tools) as uow:
        for step in changed:
            await record_step(
                by_id[step.id], step, uow=uow, execution=scene.execution, clock=tools.clock, ids=tools.ids
            )
    return True


async def _work_on(step: Step, scene: Scene, tools: Tools) -> None:
    match step.kind:
        case StepKind.LAUNCH:
            await launch_instance(step, scene=scene, tools=tools)
        case StepKind.WAIT_READY:
            await await_node(step, scene=scene, tools=tools)
        case StepKind.CORDON:
            await cordon_node(step, scene=scene, tools=tools)
        case StepKind.DRAIN:
            await drain_node(step, scene=scene, tools=tools)
        case StepKind.TERMINATE:
            await terminate_instance(step, scene=scene, tools=tools)
        case StepKind.VERIFY:
            await verify_termination(step, scene=scene, tools=tools)


def _window_is_open(scene: Scene, tools: Tools) -> bool:
    windows = windows_of(scene.config.policy)
    return scene.execution.is_interruption or guardrails.is_open(windows, now=tools.clock.now())


def windows_of(policy: Policy) -> tuple[guardrails.Window, ...]:
    """Give a policy's maintenance windows as the domain knows them."""
    return tuple(
        guardrails.Window(
            timezone=window.timezone,
            days=window.days,
            start=time.fromisoformat(window.start),
            duration=timedelta(seconds=window.duration_seconds),
        )
        for window in policy.maintenance_windows
    )
