"""CORDON and DRAIN: signed commands to the cluster's agent, repeated with the same id until it is done."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.executor.domain import guardrails, tokens
from services.executor.domain.steps import TAKEN_OVER, Errand, Step, StepKind, StepStatus
from services.executor.errors import AgentAwayError
from services.executor.handlers.record_step import is_fresh, look_again_later, may_write, record
from services.executor.handlers.scene import Scene, Tools
from services.executor.handlers.settle_command import settled
from services.executor.ports import Picture, Switch
from shared.contracts.v1.agent import (
    Action,
    AgentCommand,
    CommandOutcome,
    CordonNode,
    DrainNode,
    OutcomeStatus,
    UncordonNode,
)

log = structlog.get_logger(__name__)

SILENCE_AFTER_DEADLINE = timedelta(seconds=60)
"""How long after a drain's own deadline its outcome is still waited for."""
AGENT_PAUSE = timedelta(seconds=1)
"""Pause before an agent that is away is asked again."""
UNCORDON_PATIENCE = timedelta(days=1)
"""How long an agent that is away is waited for, lest a node that stays be cordoned for ever."""


async def cordon_node(step: Step, *, scene: Scene, tools: Tools) -> None:
    """Keep new pods off a node, if it may still be drained."""
    if step.status is StepStatus.PENDING:
        node_name = step.node_name or ""
        if not await may_write(step, f"cordon node {node_name}", scene=scene, tools=tools):
            return
        begun = await _begin(
            step, _drain_deadline(scene, tools), leaving=_leaving(step, scene), scene=scene, tools=tools
        )
        if begun is None:
            return
        step = begun
    action = CordonNode(node_name=step.node_name or "")
    await _command(step, action, scene=scene, tools=tools, silence=timedelta(0))


async def drain_node(step: Step, *, scene: Scene, tools: Tools) -> None:
    """Evict what runs on a node, through the eviction API, until its deadline."""
    node_name = step.node_name or ""
    if step.status is StepStatus.PENDING:
        if not await may_write(step, f"drain node {node_name}", scene=scene, tools=tools):
            return
        deadline = scene.execution.evict_by or _drain_deadline(scene, tools)
        begun = await _begin(step, deadline, leaving=(node_name,), scene=scene, tools=tools)
        if begun is None:
            return
        step = begun
    action = DrainNode(
        node_name=node_name,
        deadline_at=step.deadline_at or tools.clock.now(),
        keep_cordoned_on_failure=scene.execution.is_interruption,
        excluded_namespaces=scene.config.policy.excluded_namespaces,
    )
    await _command(step, action, scene=scene, tools=tools, silence=SILENCE_AFTER_DEADLINE)


async def uncordon_node(step: Step, *, scene: Scene, tools: Tools) -> None:
    """Let a node that stays take pods again; `step` is its CORDON."""
    if scene.switch is not Switch.OFF:
        return
    action = UncordonNode(node_name=step.node_name or "")
    try:
        outcome = await send_command(tokens.uncordon_id(step.id), action, scene=scene, tools=tools)
    except AgentAwayError:
        # A cordon that ended well is undone by nobody but us, and without its agent a cluster has no other work.
        if step.finished_at is None or tools.clock.now() < step.finished_at + UNCORDON_PATIENCE:
            return
        log.error("uncordon_given_up", node_name=step.node_name, step_id=str(step.id))
    else:
        if outcome.status is OutcomeStatus.RUNNING:
            return
        if outcome.status is not OutcomeStatus.SUCCEEDED:
            log.error("uncordon_failed", node_name=step.node_name, detail=outcome.detail)
    await record(step, replace(step, uncordon=Errand.DONE), scene=scene, tools=tools)


async def send_command(command_id: UUID, action: Action, *, scene: Scene, tools: Tools) -> CommandOutcome:
    """Send a command of this execution.

    Raises:
        AgentAwayError: no answer; send it again.
    """
    return await tools.agents.send(
        AgentCommand(
            id=command_id,
            cluster_id=scene.cluster.cluster_id,
            fencing_token=scene.token,
            expires_at=tools.clock.now() + tools.pace.command_lifetime,
            action=action,
        )
    )


async def _begin(
    step: Step, deadline: datetime, *, leaving: tuple[str, ...], scene: Scene, tools: Tools
) -> Step | None:
    """Judge the node anew, then record that the step runs; None when it does not."""
    if scene.picture is None or (not scene.execution.is_interruption and not is_fresh(scene, tools)):
        return None
    objects = scene.picture.objects
    node = guardrails.node_named(objects, step.node_name or "")
    cordoned = _cordoned_instance(step, scene)
    if scene.execution.is_interruption:
        reason = None if node else f"node {step.node_name} is gone"
        if node is not None and cordoned not in (None, node.instance_id):
            reason = f"node {step.node_name} is another instance now"
    elif step.node_name in scene.interrupted:
        reason = TAKEN_OVER
    else:
        reason = guardrails.objection(
            objects,
            step.node_name or "",
            instance_id=cordoned,
            excluded_namespaces=scene.config.policy.excluded_namespaces,
        )
        if reason is None:
            reason = guardrails.without_room(objects, leaving, meant_for=_meant_for(scene))
            if reason is not None and _may_find_room(step, scene):
                await look_again_later(step, scene=scene, tools=tools, pause=tools.pace.cloud_pause)
                return None
    if reason is not None or node is None:
        after = replace(step, status=StepStatus.SKIPPED, detail=reason or "")
        await record(step, after, scene=scene, tools=tools)
        return None
    after = replace(
        step,
        status=StepStatus.RUNNING,
        deadline_at=deadline,
        instance_id=node.instance_id,
        owners=_owners(step, scene.picture),
        attempts=step.attempts + 1,
    )
    return await record(step, after, scene=scene, tools=tools)


async def _command(step: Step, action: Action, *, scene: Scene, tools: Tools, silence: timedelta) -> None:
    try:
        outcome = await send_command(step.id, action, scene=scene, tools=tools)
    except AgentAwayError as error:
        log.warning("agent_away", step_id=str(step.id), error=str(error))
        if step.deadline_at is not None and tools.clock.now() > step.deadline_at + silence:
            keeps = scene.execution.is_interruption
            after = replace(
                step,
                status=StepStatus.FAILED,
                detail="the agent did not answer in time",
                uncordon=Errand.WANTED if step.kind is StepKind.CORDON and not keeps else step.uncordon,
            )
            await record(step, after, scene=scene, tools=tools)
        else:
            await look_again_later(step, scene=scene, tools=tools, pause=AGENT_PAUSE)
        return
    after = settled(step, outcome)
    if after.status is not step.status:
        await record(step, after, scene=scene, tools=tools)


def _drain_deadline(scene: Scene, tools: Tools) -> datetime:
    return tools.clock.now() + timedelta(seconds=scene.config.policy.drain_deadline_seconds)


def _leaving(step: Step, scene: Scene) -> tuple[str, ...]:
    """Name all nodes of the move that have not been emptied: their pods need room at the same time."""
    return tuple(
        s.node_name or ""
        for s in scene.steps
        if s.kind is StepKind.DRAIN and s.move_id == step.move_id and not s.status.is_over
    )


def _cordoned_instance(step: Step, scene: Scene) -> str | None:
    """Give the instance that was cordoned for a DRAIN: another one may bear the node's name by now."""
    return next(
        (
            s.instance_id
            for s in scene.steps
            if s.kind is StepKind.CORDON and s.move_id == step.move_id and s.node_name == step.node_name
        ),
        None,
    )


def _meant_for(scene: Scene) -> dict[str, str]:
    """Give the node that the plan means for each pod, as far as it has come."""
    return {
        pod: wait.node_name
        for wait in scene.steps
        if wait.kind is StepKind.WAIT_READY and wait.node_name is not None
        for pod in wait.pods
    }


def _may_find_room(step: Step, scene: Scene) -> bool:
    """Whether others are under way: their pods, which hold room twice or nowhere now, settle when they are done."""
    return any(
        s.id != step.id
        and (s.status is StepStatus.RUNNING or (s.status is StepStatus.PENDING and s.deadline_at is not None))
        for s in scene.steps
    )


def _owners(step: Step, picture: Picture) -> tuple[str, ...]:
    if step.kind is not StepKind.DRAIN:
        return ()
    return guardrails.owners_of(guardrails.pods_left(picture.objects, step.node_name or ""))
