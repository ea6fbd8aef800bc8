"""May this pod run on this node? kube-scheduler's rules (v1.34), for planning and for the last check before acting.

What must hold decides; wishes (preferred terms, ScheduleAnyway, PreferNoSchedule) are costs that rank the nodes that
are left. Nobody is preempted here: a pod's priority says who is placed first, never who has to go for whom. Pods with
scheduling gates or resource claims (DRA) are placed nowhere.
"""

from shared.kernel.scheduling.budgets import (
    budgets_over,
    eviction_refused,
    most_disruptions,
    takes_no_disruption,
)
from shared.kernel.scheduling.daemons import daemon_pods_for, daemon_sets_seen
from shared.kernel.scheduling.evictions import can_be_moved
from shared.kernel.scheduling.placement import Unplaced, pods_all_fit
from shared.kernel.scheduling.preferences import node_preference_cost
from shared.kernel.scheduling.selectors import selects
from shared.kernel.scheduling.shapes import shape_key
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.scheduling.view import ClusterView

__all__ = [
    "ClusterView",
    "Unplaced",
    "budgets_over",
    "can_be_moved",
    "daemon_pods_for",
    "daemon_sets_seen",
    "eviction_refused",
    "most_disruptions",
    "node_preference_cost",
    "pods_all_fit",
    "selects",
    "shape_key",
    "static_reasons",
    "takes_no_disruption",
]
