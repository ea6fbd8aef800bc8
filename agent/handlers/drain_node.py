"""Empty a node: cordon it, evict what must leave, and wait until it is really gone.

Budgets are obeyed: what the eviction API refuses is asked again until the deadline. Safe to begin anew at any point.
"""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from agent import metrics
from agent.domain import drains
from agent.domain.command_check import Limits
from agent.domain.drains import DrainRules, Retry
from agent.errors import KubernetesUnavailableError
from agent.ports import Cluster, Eviction, EvictionResult
from shared.contracts.v1.agent import CommandOutcome, DrainNode, OutcomeStatus
from shared.kernel.clock import Clock
from shared.kernel.workload import Pod

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
EVICTIONS_AT_ONCE = 8


@dataclass(slots=True)
class Progress:
    """How far a drain is; it survives that the drain begins anew."""

    pods_evicted: int = 0
    pods_remaining: int = 0
    blocked: dict[str, str] = field(default_factory=dict)
    """By namespace/name of the pod, why it could not be evicted."""
    is_overtaken: bool = False
    """A later command is about the same node: stop, and leave the node to it."""


async def drain_node(
    *, command_id: UUID, action: DrainNode, cluster: Cluster, clock: Clock, limits: Limits, progress: Progress
) -> CommandOutcome:
    """Drain until the node is empty or the deadline is over; then undo the cordon.

    Raises:
        KubernetesUnavailableError: call again.
    """
    rules = DrainRules(
        limits.excluded_namespaces | frozenset(action.excluded_namespaces), action.keep_cordoned_on_failure
    )
    node = await cluster.node(action.node_name)
    if node is None:
        return _outcome(command_id, OutcomeStatus.SUCCEEDED, "the node is gone", progress)
    pods = await cluster.pods_on(action.node_name)
    forbidden = drains.reasons_to_refuse(pods, rules)
    if forbidden and progress.pods_evicted == 0:
        if node.cordoned_by == str(command_id):
            await cluster.uncordon(action.node_name)
        progress.blocked = forbidden
        progress.pods_remaining = len(drains.pods_to_move(pods, rules))
        return _outcome(command_id, OutcomeStatus.REFUSED, _reasons(forbidden), progress)
    # What a person cordoned keeps no mark of ours; a cordon of ours now belongs to this command.
    is_ours = not node.is_unschedulable or node.cordoned_by is not None
    if is_ours and node.cordoned_by != str(command_id) and clock.now() < action.deadline_at:
        await cluster.cordon(action.node_name, command_id=str(command_id))
    retries: dict[str, Retry] = {}
    while not progress.is_overtaken:
        pods = await cluster.pods_on(action.node_name)
        leaving = drains.pods_to_move(pods, rules)
        progress.pods_remaining = len(leaving)
        if not leaving:
            progress.blocked = {}
            return _outcome(command_id, OutcomeStatus.SUCCEEDED, "", progress)
        if clock.now() >= action.deadline_at:
            return await _give_up(command_id, action, cluster, leaving, progress)
        forbidden = drains.reasons_to_refuse(pods, rules)
        due = [pod for pod in leaving if _is_due(pod, retries, clock) and pod.key not in forbidden]
        await _evict_all(due, cluster=cluster, clock=clock, retries=retries, progress=progress)
        progress.blocked = {
            key: reason
            for key, reason in (progress.blocked | forbidden).items()
            if any(pod.key == key for pod in leaving)
        }
        await clock.sleep(POLL_SECONDS)
    return _outcome(command_id, OutcomeStatus.FAILED, "a later command is about the same node", progress)


async def release_node(*, command_id: UUID | None, node_name: str, cluster: Cluster, why: str) -> bool:
    """Uncordon a node that this command (None: any of ours) cordoned, and say so in a Kubernetes Event.

    What a person cordoned stays cordoned.
    """
    node = await cluster.node(node_name)
    if node is None or node.cordoned_by is None or command_id not in (None, _uuid(node.cordoned_by)):
        return False
    await cluster.uncordon(node_name)
    await cluster.note(node_name=node_name, reason="DrainUndone", message=f"uncordoned: {why}")
    log.warning("node_released", node=node_name, why=why)
    return True


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_due(pod: Pod, retries: dict[str, Retry], clock: Clock) -> bool:
    retry = retries.get(pod.uid)
    return not pod.is_terminating and (retry is None or retry.not_before <= clock.now())


async def _evict_all(
    pods: list[Pod], *, cluster: Cluster, clock: Clock, retries: dict[str, Retry], progress: Progress
) -> None:
    gate = asyncio.Semaphore(EVICTIONS_AT_ONCE)

    async def evict(pod: Pod) -> None:
        try:
            async with gate:
                answer = await cluster.evict(namespace=pod.namespace, name=pod.name, uid=pod.uid)
        except KubernetesUnavailableError as error:  # one pod's trouble must not keep the others
            answer = Eviction(EvictionResult.BLOCKED, str(error))
        if answer.result is EvictionResult.BLOCKED:
            retries[pod.uid] = drains.next_retry(retries.get(pod.uid), now=clock.now())
            progress.blocked[pod.key] = answer.reason
            return
        progress.blocked.pop(pod.key, None)
        if answer.result is EvictionResult.ACCEPTED:
            progress.pods_evicted += 1
            metrics.pods_evicted.inc()

    try:
        async with asyncio.TaskGroup() as group:
            for pod in pods:
                group.create_task(evict(pod))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _give_up(
    command_id: UUID, action: DrainNode, cluster: Cluster, leaving: list[Pod], progress: Progress
) -> CommandOutcome:
    for pod in leaving:
        progress.blocked.setdefault(pod.key, "it has not ended yet")
    detail = f"not empty at its deadline: {_reasons(progress.blocked)}"
    if not action.keep_cordoned_on_failure:
        await release_node(command_id=None, node_name=action.node_name, cluster=cluster, why=detail)
    log.warning("drain_given_up", node=action.node_name, blocked_by=sorted(progress.blocked))
    return _outcome(command_id, OutcomeStatus.FAILED, detail, progress)


def _reasons(blocked: dict[str, str]) -> str:
    return "; ".join(f"{key}: {reason}" for key, reason in sorted(blocked.items()))[:2000]


def _outcome(command_id: UUID, status: OutcomeStatus, detail: str, progress: Progress) -> CommandOutcome:
    return CommandOutcome(
        command_id=command_id,
        status=status,
        detail=detail,
        blocked_by=tuple(sorted(progress.blocked)),
        pods_evicted=progress.pods_evicted,
        pods_remaining=progress.pods_remaining,
    )
