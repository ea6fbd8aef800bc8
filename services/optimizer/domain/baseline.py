"""What the cluster's requests cost before the plan, as a rate per core and per GiB.

Later hours are booked against this rate, so it must give back today's cost exactly when multiplied with
today's requests: rate x requests = cost. One core is weighed as 7.2 GiB, the ratio that on-demand prices of
the current general, compute and memory families give when they are regressed on cores and GiB. Counted are
the pods on nodes that are neither finished nor of a DaemonSet: the number of daemons follows the number of
nodes, it is not work.
"""

from collections.abc import Iterable

from services.optimizer.domain.drafts import BaselineRates
from shared.kernel.workload import Pod

GIB_PER_VCPU = 7.2
GIB = 1024**3


def baseline_rates(cost_usd_per_hour: float | None, pods: Iterable[Pod]) -> BaselineRates | None:
    """Split a cost over what was requested; None when the cost is unknown or nothing was requested."""
    counted = [p for p in pods if p.node_name and not p.is_finished and not p.is_daemon]
    vcpus = sum(p.requests.cpu_millicores for p in counted) / 1000
    gibs = sum(p.requests.memory_bytes for p in counted) / GIB
    weight = vcpus * GIB_PER_VCPU + gibs
    if cost_usd_per_hour is None or weight <= 0:
        return None
    per_gib = cost_usd_per_hour / weight
    return BaselineRates(per_gib * GIB_PER_VCPU, per_gib)
