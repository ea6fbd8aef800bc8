"""What commands do to the cluster, as Kubernetes API calls."""

import re
from collections.abc import Mapping, Sequence

import structlog

from agent.adapters.kube_client import BUSY, STRATEGIC_PATCH, KubeClient
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError
from agent.ports import Eviction, EvictionResult, NodeState, WorkloadState
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.kubernetes import parse_pod
from shared.kernel.workload import Pod

log = structlog.get_logger(__name__)

CORDONED_BY = "spot-optimizer/cordoned-by"
"""Annotation on nodes that a command of ours cordoned: what a person cordoned is never uncordoned by us."""
BLOCKED = frozenset({429, 500})
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
EVENT_NAMESPACE = "default"
PAGE_SIZE = "500"


class KubeActions:
    """See agent.ports.Cluster."""

    def __init__(self, client: KubeClient, *, clock: Clock, ids: Ids) -> None:
        self._client = client
        self._clock = clock
        self._ids = ids

    async def node(self, name: str) -> NodeState | None:
        """Return a node as it is now."""
        obj = await self._client.find(f"/api/v1/nodes/{name}")
        if obj is None:
            return None
        spec = obj.get("spec") or {}
        annotations = obj["metadata"].get("annotations") or {}
        return NodeState(
            name=name,
            uid=obj["metadata"].get("uid", ""),
            provider_id=spec.get("providerID", ""),
            is_unschedulable=bool(spec.get("unschedulable")),
            cordoned_by=annotations.get(CORDONED_BY),
        )

    async def pods_on(self, node_name: str) -> Sequence[Pod]:
        """Return the pods that are bound to a node."""
        query = {"fieldSelector": f"spec.nodeName={node_name}", "limit": PAGE_SIZE}
        pods: list[Pod] = []
        while True:
            page = await self._client.get("/api/v1/pods", **query)
            pods.extend(parse_pod(obj) for obj in page.get("items") or ())
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return pods
            query["continue"] = token

    async def cordon(self, name: str, *, command_id: str | None) -> None:
        """Mark unschedulable and write down by which command."""
        body = {"spec": {"unschedulable": True}, "metadata": {"annotations": {CORDONED_BY: command_id}}}
        await self._client.patch(f"/api/v1/nodes/{name}", body)

    async def uncordon(self, name: str) -> None:
        """Mark schedulable; a node that is gone is no error."""
        body = {"spec": {"unschedulable": None}, "metadata": {"annotations": {CORDONED_BY: None}}}
        try:
            await self._client.patch(f"/api/v1/nodes/{name}", body)
        except KubernetesRefusedError as error:
            if error.status != 404:
                raise

    async def evict(self, *, namespace: str, name: str, uid: str) -> Eviction:
        """Evict this very pod."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        try:
            # Here 429 is no overload but a PodDisruptionBudget's no, and 500 says that two budgets select the pod.
            await self._client.send("POST", path, body=body, busy=BUSY - BLOCKED)
        except KubernetesRefusedError as error:
            if error.status in (404, 409):
                return Eviction(EvictionResult.GONE)
            if error.status in BLOCKED:
                return Eviction(EvictionResult.BLOCKED, str(error).partition(f"{error.status} ")[2])
            raise
        return Eviction(EvictionResult.ACCEPTED)

    async def delete_node(self, name: str, *, uid: str) -> None:
        """Delete this very Node object; one that is gone is no error."""
        try:
            await self._client.delete(f"/api/v1/nodes/{name}", {"preconditions": {"uid": uid}})
        except KubernetesRefusedError as error:
            if error.status not in (404, 409):
                raise

    async def workload(self, *, kind: str, namespace: str, name: str) -> WorkloadState | None:
        """Return a workload as it is now."""
        obj = await self._client.find(_path(kind, namespace, name))
        if obj is None:
            return None
        spec = obj.get("spec") or {}
        containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
        return WorkloadState(
            replicas=spec.get("replicas", 1),
            containers=tuple(container["name"] for container in containers),
            resource_version=str(obj["metadata"].get("resourceVersion", "")),
        )

    async def set_requests(
        self, *, kind: str, namespace: str, name: str, container: str, requests: Mapping[str, str]
    ) -> None:
        """Change a container's requests in the template."""
        change = {"name": container, "resources": {"requests": dict(requests)}}
        body = {"spec": {"template": {"spec": {"containers": [change]}}}}
        await self._client.patch(_path(kind, namespace, name), body, kind=STRATEGIC_PATCH)

    async def scale(
        self, *, kind: str, namespace: str, name: str, replicas: int, resource_version: str
    ) -> None:
        """Set replicas, unless the workload was changed since it was read."""
        body = {"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}
        await self._client.patch(_path(kind, namespace, name) + "/scale", body)

    async def note(self, *, node_name: str | None, reason: str, message: str) -> None:
        """Write a Kubernetes Event about a node, or (None) the cluster; if that is forbidden the log has to do."""
        at = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        kind, name = ("Node", node_name) if node_name else ("Namespace", EVENT_NAMESPACE)
        prefix = re.sub(r"[^a-z0-9.-]", "-", name.lower())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{prefix}.{self._ids.new().hex}", "namespace": EVENT_NAMESPACE},
            "involvedObject": {"apiVersion": "v1", "kind": kind, "name": name},
            "reason": reason,
            "message": message[:1000],
            "type": "Warning",
            "count": 1,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "source": {"component": "spot-optimizer-agent"},
        }
        try:
            await self._client.post(f"/api/v1/namespaces/{EVENT_NAMESPACE}/events", body)
        except (KubernetesRefusedError, KubernetesUnavailableError) as error:
            log.warning("event_not_written", object=name, reason=reason, error=str(error))


def _path(kind: str, namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/{PLURALS[kind]}/{name}"
