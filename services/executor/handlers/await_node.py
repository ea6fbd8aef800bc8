"""WAIT_READY: a launched instance counts only once its node takes pods."""

from dataclasses import replace
from datetime import timedelta

from services.executor.domain.guardrails import node_of_instance
from services.executor.domain.steps import Errand, Step, StepKind, StepStatus
from services.executor.handlers.record_step import fenced, is_fresh, record, record_step
from services.executor.handlers.scene import Scene, Tools


async def await_node(step: Step, *, scene: Scene, tools: Tools) -> None:
    """End the step when the node is Ready; past the deadline release the instance and launch anew."""
    now = tools.clock.now()
    if step.status is StepStatus.PENDING:
        deadline = now + timedelta(seconds=scene.config.policy.node_ready_deadline_seconds)
        after = replace(step, status=StepStatus.RUNNING, deadline_at=deadline, detail="")
        begun = await record(step, after, scene=scene, tools=tools)
        if begun is None:
            return
        step = begun
    if scene.picture is None or step.instance_id is None or step.deadline_at is None:
        return
    node = node_of_instance(scene.picture.objects, step.instance_id)
    if node is not None and node.is_ready and not node.is_unschedulable:
        after = replace(step, status=StepStatus.SUCCEEDED, node_name=node.name, detail=f"node {node.name}")
        await record(step, after, scene=scene, tools=tools)
    elif now >= step.deadline_at and is_fresh(scene, tools):
        await relaunch(
            step, f"the node of {step.instance_id} was not Ready in time", scene=scene, tools=tools
        )


async def relaunch(wait: Step, reason: str, *, scene: Scene, tools: Tools) -> None:
    """Give an instance up and turn back to its LAUNCH, in one transaction."""
    launch = next(
        s
        for s in scene.steps
        if s.kind is StepKind.LAUNCH and s.launch_id == wait.launch_id and s.move_id == wait.move_id
    )
    attempt = next(a for a in scene.attempts if a.step_id == launch.id and a.instance_id == wait.instance_id)
    async with fenced(scene, tools) as uow:
        for before in (wait, launch):
            await record_step(
                before,
                replace(
                    before,
                    status=StepStatus.PENDING,
                    instance_id=None,
                    deadline_at=None,
                    finished_at=None,
                    detail=reason,
                ),
                uow=uow,
                execution=scene.execution,
                clock=tools.clock,
                ids=tools.ids,
            )
        await uow.executions.put_attempt(replace(attempt, release=Errand.WANTED))
