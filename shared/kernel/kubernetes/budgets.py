"""PodDisruptionBudgets."""

from collections.abc import Mapping
from typing import Any

from shared.kernel.kubernetes import selectors
from shared.kernel.kubernetes.fields import named
from shared.kernel.workload import DisruptionBudget


def parse_budget(obj: Mapping[str, Any]) -> DisruptionBudget:
    """Give the budget with what its controller last said.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, namespace, name = named("poddisruptionbudget", obj)
    spec, status = fields.child("spec"), fields.child("status")
    return DisruptionBudget(
        namespace=namespace,
        name=name,
        selector=selectors.parse_selector(spec.maybe_child("selector")),
        min_available=spec.amount_text("minAvailable"),
        max_unavailable=spec.amount_text("maxUnavailable"),
        disruptions_allowed=status.integer("disruptionsAllowed"),
        current_healthy=status.integer("currentHealthy"),
        desired_healthy=status.integer("desiredHealthy"),
        expected_pods=status.integer("expectedPods"),
        always_allows_unhealthy=spec.text("unhealthyPodEvictionPolicy") == "AlwaysAllow",
    )
