"""May this pod run on this node? kube-scheduler's rules (v1.34), for planning and for the last check before acting.

Only what must hold is judged; wishes (preferred terms, ScheduleAnyway) are costs, and the planner's business.
"""

from shared.kernel.scheduling.daemons import daemon_pods_for, daemon_sets_seen
from shared.kernel.scheduling.evictions import can_be_moved
from shared.kernel.scheduling.placement import Unplaced, pods_all_fit
from shared.kernel.scheduling.selectors import selects
from shared.kernel.scheduling.shapes import shape_key
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.scheduling.view import ClusterView

__all__ = [
    "ClusterView",
    "Unplaced",
    "can_be_moved",
    "daemon_pods_for",
    "daemon_sets_seen",
    "pods_all_fit",
    "selects",
    "shape_key",
    "static_reasons",
]
