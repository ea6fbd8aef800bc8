"""LAUNCH: one instance from the first offering that has capacity.

The attempt and its exact request are stored before the call. Whoever finds an attempt without an answer sends
the same request again first: its ClientToken makes EC2 answer with the same instance.
"""

from dataclasses import replace

import structlog

from services.executor import metrics
from services.executor.domain import launch_request, offering_choice, replacement, tokens
from services.executor.domain.guardrails import node_named, objection, pods_left
from services.executor.domain.offering_choice import Flag
from services.executor.domain.steps import Attempt, Offering, Step, StepKind, StepStatus
from services.executor.errors import CloudRefusedError, QuotesUnavailableError
from services.executor.handlers.record_step import fenced, look_again_later, may_write, record, record_step
from services.executor.handlers.scene import Scene, Tools
from services.executor.ports import Blame, LaunchAnswer, Switch
from shared.contracts.v1.executor import CapacityInsufficient, InstanceLaunched
from shared.contracts.v1.policy import CapacityStrategy
from shared.kernel.errors import UnavailableError
from shared.kernel.pools import CapacityType, PoolKey

log = structlog.get_logger(__name__)


async def launch_instance(step: Step, *, scene: Scene, tools: Tools) -> None:
    """Repeat the attempt nobody knows the end of, or begin the next one."""
    attempts = [a for a in scene.attempts if a.step_id == step.id]
    if attempts and attempts[-1].is_open:
        if scene.switch is Switch.OFF:
            await _send(step, attempts[-1], scene=scene, tools=tools)
        return
    if not await may_write(step, f"launch an instance for {step.subject}", scene=scene, tools=tools):
        return
    if not attempts:
        reason = _objection_to_move(step, scene)
        if reason is not None:
            after = replace(step, status=StepStatus.SKIPPED, detail=reason)
            await record(step, after, scene=scene, tools=tools)
            return
    offerings = step.offerings or await _replacements(step, scene=scene, tools=tools)
    zone_ids = {subnet.zone_id for subnet in scene.config.template.subnets}
    offering = offering_choice.next_offering(
        offerings, tried={a.offering.pool for a in attempts}, flagged=scene.flagged, zone_ids=zone_ids
    )
    if offering is None:
        await record(
            step,
            replace(step, status=StepStatus.FAILED, detail=_exhausted(attempts, offerings)),
            scene=scene,
            tools=tools,
        )
        return
    number = len(attempts) + 1
    attempt = Attempt(
        step_id=step.id,
        number=number,
        offering=offering,
        request=_request(step, number, offering.pool, scene),
        made_at=tools.clock.now(),
    )
    begun = await record(
        step,
        replace(
            step,
            status=StepStatus.RUNNING,
            attempts=number,
            offerings=tuple(offerings),
            detail=f"from {offering.pool}",
        ),
        scene=scene,
        tools=tools,
        attempt=attempt,
    )
    if begun is not None:
        await _send(begun, attempt, scene=scene, tools=tools)


async def _send(step: Step, attempt: Attempt, *, scene: Scene, tools: Tools) -> None:
    try:
        answer = await tools.cloud.launch(scene.cluster.cluster_id, attempt.request)
    except UnavailableError as error:
        log.warning("launch_waits", step_id=str(step.id), error=str(error))
        metrics.launch_attempts.labels("unavailable").inc()
        await look_again_later(step, scene=scene, tools=tools, pause=tools.pace.cloud_pause)
        return
    except CloudRefusedError as error:
        answer = LaunchAnswer(None, "Refused", str(error))
    if answer.instance_id is not None:
        await _keep_instance(step, attempt, answer.instance_id, scene=scene, tools=tools)
    else:
        await _keep_refusal(step, attempt, answer, scene=scene, tools=tools)


async def _keep_instance(
    step: Step, attempt: Attempt, instance_id: str, *, scene: Scene, tools: Tools
) -> None:
    execution, pool = scene.execution, attempt.offering.pool
    wait = next(
        s
        for s in scene.steps
        if s.kind is StepKind.WAIT_READY and s.launch_id == step.launch_id and s.move_id == step.move_id
    )
    async with fenced(scene, tools) as uow:
        after = replace(
            step, status=StepStatus.SUCCEEDED, instance_id=instance_id, detail=f"{instance_id} from {pool}"
        )
        if not await record_step(step, after, uow=uow, execution=execution, clock=tools.clock, ids=tools.ids):
            return
        await uow.executions.put_attempt(replace(attempt, instance_id=instance_id))
        await uow.executions.change(wait, replace(wait, instance_id=instance_id, deadline_at=None))
        await uow.outbox.add(
            InstanceLaunched.make(
                scope=execution.cluster_id,
                clock=tools.clock,
                ids=tools.ids,
                organization_id=execution.organization_id,
                execution_id=execution.id,
                instance_id=instance_id,
                pool=pool,
                usd_per_hour=attempt.offering.usd_per_hour,
            )
        )
    metrics.launch_attempts.labels("launched").inc()


async def _keep_refusal(
    step: Step, attempt: Attempt, answer: LaunchAnswer, *, scene: Scene, tools: Tools
) -> None:
    """An empty pool is left for the next offering; what EC2 refuses for good ends the step."""
    is_final = answer.blame is Blame.REQUEST
    status = StepStatus.FAILED if is_final else StepStatus.PENDING
    detail = f"{attempt.offering.pool}: {answer.error}"
    if is_final:
        detail = f"{detail}: {answer.detail}"
    async with fenced(scene, tools) as uow:
        if not await record_step(
            step,
            replace(step, status=status, detail=detail),
            uow=uow,
            execution=scene.execution,
            clock=tools.clock,
            ids=tools.ids,
        ):
            return
        await uow.executions.put_attempt(replace(attempt, error=answer.error or "Unknown"))
        if answer.blame is Blame.POOL:
            pool = attempt.offering.pool
            expires_at = tools.clock.now() + tools.pace.capacity_flag_lifetime
            await uow.flags.put(Flag(pool, expires_at))
            await uow.outbox.add(
                CapacityInsufficient.make(
                    scope=scene.execution.cluster_id,
                    clock=tools.clock,
                    ids=tools.ids,
                    organization_id=scene.execution.organization_id,
                    pool=pool,
                )
            )
    metrics.launch_attempts.labels(answer.blame.value).inc()


def _objection_to_move(step: Step, scene: Scene) -> str | None:
    """Say why the nodes of the move may not be drained: then nothing is launched for it either."""
    if scene.execution.is_interruption or scene.picture is None:
        return None
    for drain in scene.steps:
        if drain.kind is StepKind.DRAIN and drain.move_id == step.move_id:
            reason = objection(
                scene.picture.objects,
                drain.node_name or "",
                instance_id=None,
                excluded_namespaces=scene.config.policy.excluded_namespaces,
            )
            if reason is not None:
                return reason
    return None


def _request(step: Step, number: int, pool: PoolKey, scene: Scene) -> str:
    template = scene.config.template
    subnet = next(s for s in template.subnets if s.zone_id == pool.zone_id)
    return launch_request.fleet_request(
        client_token=tokens.client_token(step.id, number),
        launch_template_id=template.launch_template_id,
        launch_template_version=template.launch_template_version,
        subnet_id=subnet.subnet_id,
        pool=pool,
        tags=launch_request.tags_for(
            cluster_id=scene.cluster.cluster_id,
            cluster_name=scene.cluster.name,
            execution_id=scene.execution.id,
            step_id=step.id,
            node_template=template.name,
        ),
    )


async def _replacements(step: Step, *, scene: Scene, tools: Tools) -> tuple[Offering, ...]:
    """Ask what may replace an interrupted node; without an answer the same type, on-demand."""
    node = node_named(scene.picture.objects, step.subject) if scene.picture else None
    if node is None or scene.picture is None:
        return ()
    policy, template = scene.config.policy, scene.config.template
    zones = frozenset(
        subnet.zone_id
        for subnet in template.subnets
        if not policy.zones or subnet.zone in policy.zones or subnet.zone_id in policy.zones
    )
    is_bound = any(pod.claims for pod in pods_left(scene.picture.objects, node.name))
    is_spot = node.capacity_type is CapacityType.SPOT
    wanted = replacement.Wanted(
        node=node,
        zone_ids=zones & {node.zone_id or ""} if is_bound else zones,
        may_be_spot=is_spot and policy.strategy is not CapacityStrategy.ON_DEMAND,
        may_be_on_demand=not is_spot
        or policy.on_demand_fallback
        or policy.strategy is CapacityStrategy.ON_DEMAND,
        filters=policy,
        max_usd_per_hour=policy.max_usd_per_hour,
    )
    region = scene.cluster.region
    try:
        quotes, types = await tools.quotes.quotes(region)
    except QuotesUnavailableError as error:
        log.warning("replacement_unquoted", node_name=node.name, error=str(error))
        return replacement.unquoted(wanted, region=region)
    avoided = set(scene.flagged)
    if node.instance_type and node.zone_id and node.capacity_type is CapacityType.SPOT:
        avoided.add(PoolKey(region, node.instance_type, node.zone_id, node.capacity_type))
    found = replacement.replacements(wanted, quotes=quotes, types=types, avoided=avoided)
    return found or replacement.unquoted(wanted, region=region, quotes=quotes, types=types)


def _exhausted(attempts: list[Attempt], offerings: tuple[Offering, ...]) -> str:
    if not offerings:
        return "no offering is known to meet the policy"
    if not attempts:
        return "no offering is in a zone that the node template has a subnet in"
    tried = ", ".join(f"{a.offering.pool} ({a.error or 'its node was not Ready in time'})" for a in attempts)
    return f"every offering was tried: {tried}"
