"""What each short command does; every one can be done again without harm."""

from uuid import UUID

from agent.errors import KubernetesRefusedError
from agent.ports import Cluster, EvictionResult
from shared.contracts.v1.agent import (
    CommandOutcome,
    CordonNode,
    DeleteNode,
    EvictPod,
    OutcomeStatus,
    PatchRequests,
    ScaleWorkload,
    UncordonNode,
)

ShortAction = CordonNode | UncordonNode | EvictPod | DeleteNode | PatchRequests | ScaleWorkload


async def perform_action(*, command_id: UUID, action: ShortAction, cluster: Cluster) -> CommandOutcome:
    """Do it and say what came of it.

    Raises:
        KubernetesUnavailableError: call again.
    """
    try:
        problem = await _perform(command_id, action, cluster)
    except KubernetesRefusedError as error:
        problem = str(error)
    if isinstance(problem, CommandOutcome):
        return problem
    status = OutcomeStatus.SUCCEEDED if problem is None else OutcomeStatus.FAILED
    return CommandOutcome(command_id=command_id, status=status, detail=problem or "")


async def _perform(command_id: UUID, action: ShortAction, cluster: Cluster) -> CommandOutcome | str | None:
    match action:
        case CordonNode():
            return await _cordon(command_id, action, cluster)
        case UncordonNode():
            return await _uncordon(command_id, action, cluster)
        case EvictPod():
            return await _evict(command_id, action, cluster)
        case DeleteNode():
            return await _delete_node(action, cluster)
        case PatchRequests():
            return await _patch_requests(action, cluster)
        case ScaleWorkload():
            return await _scale(action, cluster)


async def _cordon(command_id: UUID, action: CordonNode, cluster: Cluster) -> str | None:
    node = await cluster.node(action.node_name)
    if node is None:
        return f"there is no node {action.node_name}"
    if not node.is_unschedulable:
        await cluster.cordon(action.node_name, command_id=str(command_id))
    return None


async def _uncordon(command_id: UUID, action: UncordonNode, cluster: Cluster) -> CommandOutcome | None:
    node = await cluster.node(action.node_name)
    if node is None or not node.is_unschedulable:
        return None
    if node.cordoned_by is None:
        detail = f"node {action.node_name} stays cordoned: somebody else cordoned it"
        return CommandOutcome(command_id=command_id, status=OutcomeStatus.SUCCEEDED, detail=detail)
    await cluster.uncordon(action.node_name)
    return None


async def _evict(command_id: UUID, action: EvictPod, cluster: Cluster) -> CommandOutcome | None:
    answer = await cluster.evict(namespace=action.namespace, name=action.name, uid=action.uid)
    if answer.result is EvictionResult.BLOCKED:
        return CommandOutcome(
            command_id=command_id,
            status=OutcomeStatus.FAILED,
            detail=answer.reason,
            blocked_by=(f"{action.namespace}/{action.name}",),
            pods_remaining=1,
        )
    evicted = int(answer.result is EvictionResult.ACCEPTED)
    return CommandOutcome(command_id=command_id, status=OutcomeStatus.SUCCEEDED, pods_evicted=evicted)


async def _delete_node(action: DeleteNode, cluster: Cluster) -> str | None:
    node = await cluster.node(action.node_name)
    if node is None:
        return None
    if node.provider_id.rpartition("/")[2] != action.instance_id:
        return f"node {action.node_name} is {node.provider_id or 'no instance'}, not {action.instance_id}"
    await cluster.delete_node(action.node_name, uid=node.uid)
    return None


async def _patch_requests(action: PatchRequests, cluster: Cluster) -> str | None:
    name = f"{action.workload_kind} {action.namespace}/{action.workload_name}"
    state = await cluster.workload(
        kind=action.workload_kind, namespace=action.namespace, name=action.workload_name
    )
    if state is None:
        return f"there is no {name}"
    if action.container not in state.containers:
        return f"{name} has no container {action.container}"
    requests: dict[str, str] = {}
    if action.cpu_millicores is not None:
        requests["cpu"] = f"{action.cpu_millicores}m"
    if action.memory_bytes is not None:
        requests["memory"] = str(action.memory_bytes)
    if requests:
        await cluster.set_requests(
            kind=action.workload_kind,
            namespace=action.namespace,
            name=action.workload_name,
            container=action.container,
            requests=requests,
        )
    return None


async def _scale(action: ScaleWorkload, cluster: Cluster) -> str | None:
    name = f"{action.workload_kind} {action.namespace}/{action.workload_name}"
    state = await cluster.workload(
        kind=action.workload_kind, namespace=action.namespace, name=action.workload_name
    )
    if state is None:
        return f"there is no {name}"
    if state.replicas == action.replicas:
        return None
    if action.expected_replicas is not None and state.replicas != action.expected_replicas:
        return f"{name} has {state.replicas} replicas, not {action.expected_replicas}: somebody changed it"
    await cluster.scale(
        kind=action.workload_kind,
        namespace=action.namespace,
        name=action.workload_name,
        replicas=action.replicas,
        resource_version=state.resource_version,
    )
    return None
