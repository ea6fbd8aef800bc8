"""On-demand room for the pods that must not run on spot, kept although kube-scheduler does not know who they are.

Nothing tells kube-scheduler that the only replica of a service belongs on an on-demand node: it may put that
pod on a spot node and fill the on-demand node with others. To the next plan the on-demand node would look like
an expensive way to run pods that spot may take. So on-demand room is given up only as far as it exceeds what
those pods request, wherever they are.
"""

from collections.abc import Iterable

from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources


def is_kept(before: FleetState, after: FleetState, judge: SpotJudge) -> bool:
    """Whether enough on-demand room is left, or at least no less than there is today."""
    had, has = _room(before.nodes), _room(after.nodes)
    wanted = _wanted(after, judge)
    return has.cpu_millicores >= min(wanted.cpu_millicores, had.cpu_millicores) and has.memory_bytes >= min(
        wanted.memory_bytes, had.memory_bytes
    )


def _room(nodes: Iterable[StandingNode]) -> Resources:
    total = Resources()
    for node in nodes:
        # A node whose label does not say how it was bought counts as on-demand, as its price does.
        if node.node.capacity_type is not CapacityType.SPOT:
            total += node.node.allocatable
            for pod in node.pods:
                if pod.is_daemon or pod.is_mirror:
                    total -= pod.requests
    return total


def _wanted(state: FleetState, judge: SpotJudge) -> Resources:
    cpu = memory = 0
    for node in state.nodes:
        for pod in node.movable:
            if judge.refusal(pod) is not None:
                cpu += pod.requests.cpu_millicores
                memory += pod.requests.memory_bytes
    return Resources(cpu, memory)
