"""TERMINATE and VERIFY: an instance goes only when nothing runs on it and its pods run elsewhere."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid5

import structlog

from services.executor import metrics
from services.executor.domain import guardrails
from services.executor.domain.steps import Attempt, Errand, Step, StepKind, StepStatus
from services.executor.errors import AgentAwayError, CloudRefusedError
from services.executor.handlers.drain_node import send_command
from services.executor.handlers.record_step import (
    fenced,
    is_fresh,
    look_again_later,
    may_write,
    record,
    record_step,
)
from services.executor.handlers.scene import Scene, Tools
from services.executor.handlers.settle_command import settled
from services.executor.ports import Switch, UnitOfWork
from shared.contracts.v1.agent import CommandOutcome, DeleteNode, DrainNode, OutcomeStatus, UncordonNode
from shared.contracts.v1.executor import InstanceTerminated
from shared.kernel.errors import UnavailableError
from shared.kernel.workload import ClusterObjects

log = structlog.get_logger(__name__)

NAMED_PODS = 3
"""How many pods a reason names."""


async def terminate_instance(step: Step, *, scene: Scene, tools: Tools) -> None:
    """Terminate the instance of a drained node.

    The node is judged before every call, not only before the first: after a crash hours may lie between the two.
    """
    cleared = await _clear(step, scene=scene, tools=tools)
    if cleared is None:
        return
    step, instance_id = cleared
    try:
        await tools.cloud.terminate(scene.cluster.cluster_id, instance_id)
    except UnavailableError as error:
        log.warning("terminate_waits", instance_id=instance_id, error=str(error))
        await look_again_later(step, scene=scene, tools=tools, pause=tools.pace.cloud_pause)
        return
    except CloudRefusedError as error:
        await record(
            step, replace(step, status=StepStatus.FAILED, detail=str(error)), scene=scene, tools=tools
        )
        return
    async with fenced(scene, tools) as uow:
        after = replace(step, status=StepStatus.SUCCEEDED, detail=instance_id)
        if await record_step(
            step, after, uow=uow, execution=scene.execution, clock=tools.clock, ids=tools.ids
        ):
            await _tell_terminated(instance_id, step.node_name, uow=uow, scene=scene, tools=tools)
    metrics.instances_terminated.labels("drained").inc()


async def verify_termination(step: Step, *, scene: Scene, tools: Tools) -> None:
    """See the node go; when only its Node object stays, have the agent delete it."""
    now = tools.clock.now()
    if step.status is StepStatus.PENDING:
        terminate = _sibling(step, StepKind.TERMINATE, scene)
        after = replace(
            step,
            status=StepStatus.RUNNING,
            deadline_at=now + tools.pace.verify_deadline,
            instance_id=terminate.instance_id,
        )
        begun = await record(step, after, scene=scene, tools=tools)
        if begun is None:
            return
        step = begun
    if scene.picture is None or step.deadline_at is None or step.instance_id is None:
        return
    if guardrails.node_of_instance(scene.picture.objects, step.instance_id) is None:
        after = replace(step, status=StepStatus.SUCCEEDED, detail=f"node {step.node_name} is gone")
        await record(step, after, scene=scene, tools=tools)
        return
    if now >= step.deadline_at:
        after = replace(step, status=StepStatus.FAILED, detail=f"node {step.node_name} is still there")
        await record(step, after, scene=scene, tools=tools)
        return
    if scene.switch is Switch.OFF:
        await _delete_node(step, scene=scene, tools=tools)


async def release_instance(attempt: Attempt, *, scene: Scene, tools: Tools) -> None:
    """Terminate an instance that came to no use; if it is a node by now, the agent empties it first.

    A Ready node that nobody cordoned may get a pod at any moment: seeing it empty is not enough. Nor is not seeing it
    in an old picture: it may have joined since.
    """
    if scene.switch is not Switch.OFF or attempt.instance_id is None:
        return
    if scene.picture is None or not is_fresh(scene, tools):
        return
    node = guardrails.node_of_instance(scene.picture.objects, attempt.instance_id)
    if node is not None:
        outcome = await _empty(attempt, node.name, scene=scene, tools=tools)
        if outcome is None or outcome.status is OutcomeStatus.RUNNING:
            return
        if outcome.status is not OutcomeStatus.SUCCEEDED:
            await _keep(attempt, outcome.detail, scene=scene, tools=tools)
            return
        if not node.is_unschedulable or guardrails.pods_left(scene.picture.objects, node.name):
            return  # the picture is a moment behind the drain, or somebody opened the node since
    try:
        await tools.cloud.terminate(scene.cluster.cluster_id, attempt.instance_id)
    except UnavailableError as error:
        log.warning("release_waits", instance_id=attempt.instance_id, error=str(error))
        return
    except CloudRefusedError as error:
        if node is None or await _reopen(attempt, node.name, scene=scene, tools=tools):
            await _keep(attempt, str(error), scene=scene, tools=tools)
        return
    async with fenced(scene, tools) as uow:
        await uow.executions.put_attempt(replace(attempt, release=Errand.DONE))
        await _tell_terminated(attempt.instance_id, None, uow=uow, scene=scene, tools=tools)
    metrics.instances_terminated.labels("unused").inc()


async def _empty(attempt: Attempt, node_name: str, *, scene: Scene, tools: Tools) -> CommandOutcome | None:
    """Drain an unused node; None while the agent is away.

    The agent remembers outcomes, and a node may be opened again after a drain: so the command gets a new id from time
    to time, seldom enough for a drain that is blocked to reach its deadline.
    """
    now, patience = tools.clock.now(), timedelta(seconds=scene.config.policy.drain_deadline_seconds)
    action = DrainNode(
        node_name=node_name,
        deadline_at=now + patience,
        excluded_namespaces=tuple(scene.config.policy.excluded_namespaces),
    )
    period = int(now.timestamp() // (2 * patience.total_seconds()))
    command_id = uuid5(attempt.step_id, f"release {attempt.number} {period}")
    try:
        return await send_command(command_id, action, scene=scene, tools=tools)
    except AgentAwayError as error:
        log.warning("release_waits", instance_id=attempt.instance_id, error=str(error))
        return None


async def _reopen(attempt: Attempt, node_name: str, *, scene: Scene, tools: Tools) -> bool:
    """Uncordon a node whose instance stays after all; False while the agent is away."""
    command_id = uuid5(attempt.step_id, f"reopen {attempt.number}")
    try:
        await send_command(command_id, UncordonNode(node_name=node_name), scene=scene, tools=tools)
    except AgentAwayError as error:
        log.warning("release_waits", instance_id=attempt.instance_id, error=str(error))
        return False
    return True


async def _keep(attempt: Attempt, reason: str, *, scene: Scene, tools: Tools) -> None:
    """Give the release up: the instance runs on, and nobody is told that it ended."""
    log.error("unused_instance_stays", instance_id=attempt.instance_id, reason=reason)
    async with fenced(scene, tools) as uow:
        await uow.executions.put_attempt(replace(attempt, release=Errand.DONE))


async def _clear(step: Step, *, scene: Scene, tools: Tools) -> tuple[Step, str] | None:
    """Wait until the node is closed and empty and its pods run elsewhere, then record the intent.

    Gives the step and the instance that may be terminated now.
    """
    if scene.picture is None or not is_fresh(scene, tools):
        return None
    cordon, drain = _sibling(step, StepKind.CORDON, scene), _sibling(step, StepKind.DRAIN, scene)
    instance_id = step.instance_id or drain.instance_id or cordon.instance_id
    if instance_id is None:
        after = replace(step, status=StepStatus.FAILED, detail="its instance is not known")
        await record(step, after, scene=scene, tools=tools)
        return None
    reason = _reason_to_wait(drain, instance_id, scene.picture.objects, scene=scene)
    if reason is not None:
        await _wait(step, reason, scene=scene, tools=tools)
        return None
    if step.status is StepStatus.RUNNING:
        return (step, instance_id) if scene.switch is Switch.OFF else None
    if not await may_write(step, f"terminate {instance_id}", scene=scene, tools=tools):
        return None
    after = replace(step, status=StepStatus.RUNNING, instance_id=instance_id, attempts=step.attempts + 1)
    begun = await record(step, after, scene=scene, tools=tools)
    return None if begun is None else (begun, instance_id)


def _reason_to_wait(drain: Step, instance_id: str, objects: ClusterObjects, *, scene: Scene) -> str | None:
    node = guardrails.node_of_instance(objects, instance_id)
    if node is None:
        return None
    pods = tuple(pod.key for pod in guardrails.pods_left(objects, node.name))
    if pods:
        return f"pods are still on it: {', '.join(pods[:NAMED_PODS])}"
    if not node.is_unschedulable:
        return "somebody uncordoned it: pods may come at any moment"
    if scene.execution.is_interruption or drain.started_at is None:
        return None
    pods = guardrails.unsettled(objects, owners=drain.owners, since=drain.started_at)
    return f"pods do not run elsewhere: {', '.join(pods[:NAMED_PODS])}" if pods else None


async def _wait(step: Step, reason: str, *, scene: Scene, tools: Tools) -> None:
    now = tools.clock.now()
    if step.deadline_at is None:
        deadline = now + timedelta(seconds=scene.config.policy.drain_deadline_seconds)
        await record(step, replace(step, deadline_at=deadline), scene=scene, tools=tools)
    elif now >= step.deadline_at:
        after = replace(step, status=StepStatus.FAILED, detail=f"the instance stays: {reason}")
        await record(step, after, scene=scene, tools=tools)


async def _delete_node(step: Step, *, scene: Scene, tools: Tools) -> None:
    assert step.instance_id is not None
    try:
        if not await tools.cloud.is_gone(scene.cluster.cluster_id, step.instance_id):
            await look_again_later(step, scene=scene, tools=tools, pause=tools.pace.cloud_pause)
            return
        action = DeleteNode(node_name=step.node_name or "", instance_id=step.instance_id)
        outcome = await send_command(step.id, action, scene=scene, tools=tools)
    except (AgentAwayError, UnavailableError) as error:
        log.warning("verify_waits", step_id=str(step.id), error=str(error))
        await look_again_later(step, scene=scene, tools=tools, pause=tools.pace.cloud_pause)
        return
    except CloudRefusedError as error:
        after = replace(step, status=StepStatus.FAILED, detail=str(error))
    else:
        after = settled(step, outcome)
    if after.status is not step.status:
        await record(step, after, scene=scene, tools=tools)


async def _tell_terminated(
    instance_id: str, node_name: str | None, *, uow: UnitOfWork, scene: Scene, tools: Tools
) -> None:
    await uow.outbox.add(
        InstanceTerminated.make(
            scope=scene.execution.cluster_id,
            clock=tools.clock,
            ids=tools.ids,
            organization_id=scene.execution.organization_id,
            execution_id=scene.execution.id,
            instance_id=instance_id,
            node_name=node_name,
        )
    )


def _sibling(step: Step, kind: StepKind, scene: Scene) -> Step:
    return next(
        s
        for s in scene.steps
        if s.kind is kind and s.move_id == step.move_id and s.node_name == step.node_name
    )
