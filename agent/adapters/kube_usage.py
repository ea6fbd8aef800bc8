"""metrics.k8s.io; many clusters do not serve it, and that is no trouble of ours."""

from collections.abc import Sequence

import structlog

from agent.adapters.kube_client import KubeClient
from agent.domain.usage import Usage, parse_usage
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError

log = structlog.get_logger(__name__)


class KubeUsage:
    """See agent.ports.UsageSource."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._was_there = True

    async def usage(self) -> Sequence[Usage] | None:
        """Return what pods use; None where the cluster has no metrics API."""
        try:
            listed = await self._client.get("/apis/metrics.k8s.io/v1beta1/pods")
        except (KubernetesRefusedError, KubernetesUnavailableError) as error:
            if self._was_there:
                log.warning("usage_unavailable", error=str(error))
            self._was_there = False
            return None
        self._was_there = True
        return [usage for item in listed.get("items") or () if (usage := parse_usage(item))]
