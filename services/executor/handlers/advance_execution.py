"""One turn of one execution: look, draw consequences, work on every step that may run, finish when none is left.

Nothing is kept between turns but what the tables hold, so any replica may take the next one.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import time, timedelta
from functools import partial
from typing import Any
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
from services.executor.handlers.scene import Scene, Tools
from services.executor.handlers.terminate_instance import (
    release_instance,
    terminate_instance,
    verify_termination,
)
from services.executor.ports import Switch
from shared.contracts.v1.policy import Policy
from shared.kernel.node_budgets import node_budgets

log = structlog.get_logger(__name__)

Key = tuple[UUID, str]
"""A step, and what is done for it."""
InFlight = dict[Key, "asyncio.Task[None]"]

TURN_SECONDS = 0.25
"""How long a turn waits for the first answer to what it began."""
GATHER_SECONDS = 0.02
"""How long it then waits for others that come at nearly the same time: another look is a dozen queries."""

State = tuple[object, ...]
"""How far an execution was at a turn's look: as long as it differs from turn to turn, the next one need not wait."""

CONSEQUENCES_DEPTH = 5
"""Skipping one step may skip another; deeper than a move is long it never goes."""


async def advance_execution(
    execution_id: UUID, *, token: int, tools: Tools, in_flight: InFlight
) -> State | None:
    """Bring an execution forward as far as it goes now; return what it was like before, None when it is over.

    `in_flight` holds what earlier turns of this process have begun and still wait for; the caller cancels it when
    the execution ends or is lost.

    Raises:
        LeaseLostError: another replica has taken it over.
        ExceptionGroup: steps failed in a way nobody foresaw; the others went on.
    """
    for _ in range(CONSEQUENCES_DEPTH):
        scene = await _look(execution_id, token, tools)
        if scene is None:
            return None
        moves = by_move(scene.steps)
        window_is_open = _window_is_open(scene, tools)
        if not await _draw_consequences(moves, scene, tools, window_is_open=window_is_open):
            break
    else:
        return None
    await _note_stall(moves, scene, tools, window_is_open=window_is_open)
    work: list[tuple[Key, Callable[[], Coroutine[Any, Any, None]]]] = [
        ((step.id, "uncordon"), partial(uncordon_node, step, scene=scene, tools=tools))
        for step in scene.steps
        if step.uncordon is Errand.WANTED
    ]
    work += [
        ((a.step_id, f"release {a.number}"), partial(release_instance, a, scene=scene, tools=tools))
        for a in scene.attempts
        if a.release is Errand.WANTED
    ]
    if not work and not in_flight and all(move.is_over for move in moves):
        await finish_execution(scene=scene, tools=tools)
        return _state(scene)
    policy = scene.config.policy
    objects = scene.picture.objects if scene.picture else None
    limits = lifecycle.Limits(
        launches_in_flight=tools.pace.max_launches_in_flight,
        budgets=node_budgets(objects.nodes if objects else (), ratio=policy.max_disrupted_nodes_ratio),
        window_is_open=window_is_open,
    )
    steps = lifecycle.runnable(
        scene.execution,
        moves,
        limits=limits,
        disrupted=guardrails.cordoned(objects) if objects else (),
        now=tools.clock.now(),
    )
    work += [((step.id, step.kind), partial(_work_on, step, scene, tools)) for step in steps]
    for key, call in work:
        if key not in in_flight:
            in_flight[key] = asyncio.create_task(call(), name=f"{key[1]} {key[0]}")
    await _wait_a_moment(in_flight, execution_id)
    return _state(scene)


def _state(scene: Scene) -> State:
    steps = tuple((s.status, s.attempts, s.uncordon) for s in scene.steps)
    return (*steps, *((a.is_open, a.release) for a in scene.attempts))


async def _wait_a_moment(in_flight: InFlight, execution_id: UUID) -> None:
    """Give what was begun a moment; one slow answer must not hold up the other steps."""
    if not in_flight:
        return
    _, left = await asyncio.wait(
        in_flight.values(), timeout=TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    if left:
        await asyncio.wait(left, timeout=GATHER_SECONDS)
    ended = {key: task for key, task in in_flight.items() if task.done()}
    for key in ended:
        del in_flight[key]
    failures = [
        error
        for task in ended.values()
        if not task.cancelled() and isinstance(error := task.exception(), Exception)
    ]
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
        interrupted = await uow.executions.interrupted_nodes(execution.cluster_id)
        flagged = await uow.flags.live(cluster.region, now=tools.clock.now())
    switch = await tools.safe_mode.read(
        organization_id=execution.organization_id, cluster_id=execution.cluster_id
    )
    if execution.dry_run and switch is Switch.OFF:
        switch = Switch.ON  # what began as a dry run stays one
    return Scene(
        execution=execution,
        steps=steps,
        attempts=attempts,
        cluster=cluster,
        config=config,
        picture=picture,
        flagged=flagged,
        interrupted=interrupted,
        switch=switch,
        token=token,
    )


async def _draw_consequences(
    moves: tuple[MoveSteps, ...], scene: Scene, tools: Tools, *, window_is_open: bool
) -> bool:
    changed = lifecycle.consequences(
        scene.execution,
        moves,
        window_is_open=window_is_open,
        patience=timedelta(seconds=scene.config.policy.drain_deadline_seconds),
        now=tools.clock.now(),
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


async def _note_stall(
    moves: tuple[MoveSteps, ...], scene: Scene, tools: Tools, *, window_is_open: bool
) -> None:
    """Keep since when an execution stands still for no reason of its own: a closed window is one, so is safe mode."""
    held = scene.execution.stalled_at
    is_stalled = window_is_open and scene.switch is not Switch.UNREADABLE and lifecycle.is_idle(moves)
    if is_stalled is (held is not None):
        return
    async with fenced(scene, tools) as uow:
        await uow.executions.note_stall(scene.execution.id, tools.clock.now() if is_stalled else None)


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
