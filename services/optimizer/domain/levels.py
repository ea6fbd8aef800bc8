"""How full a node must be to be left alone: from there on it is replaced by a cheaper one, or it stays.

Utilization is the larger share of CPU and memory that pods request, DaemonSets' own left out, as
cluster-autoscaler's scale-down-utilization-threshold counts it. At the aggressive level full nodes may also be replaced
together, N by M, as long as the new ones have room for all of their pods; at the others one takes the place of one.
"""

from collections.abc import Sequence

from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.rules import UTILIZATION_THRESHOLDS, ConsolidationLevel, PlanRules
from shared.kernel.resources import Resources


def is_full(node: StandingNode, rules: PlanRules) -> bool:
    """Whether the node is used enough to be no candidate for packing."""
    asked, room = requested(node), node.node.allocatable
    threshold = UTILIZATION_THRESHOLDS[rules.consolidation_level]
    return (
        100 * asked.cpu_millicores >= threshold * room.cpu_millicores
        or 100 * asked.memory_bytes >= threshold * room.memory_bytes
    )


def is_replaced_alone(node: StandingNode, rules: PlanRules) -> bool:
    """Whether the node may go only where one cheaper node takes its place."""
    return rules.consolidation_level is not ConsolidationLevel.AGGRESSIVE and is_full(node, rules)


def requested(node: StandingNode) -> Resources:
    """Give how much CPU and memory the pods ask for that would have to move."""
    return Resources(
        sum(p.requests.cpu_millicores for p in node.movable),
        sum(p.requests.memory_bytes for p in node.movable),
    )


def broken(before: FleetState, after: FleetState, rules: PlanRules) -> str | None:
    """Say which full node would be given up without a cheaper one that takes its pods; None: no such node."""
    stays = {n.node.name for n in after.nodes}
    old = {n.node.name for n in before.nodes}
    given_up = [n for n in before.nodes if n.node.name not in stays and is_full(n, rules)]
    if not given_up:
        return None
    free = sorted(
        (n for n in after.nodes if n.node.name not in old and n.offer is not None),
        key=lambda n: (n.micro_usd, n.node.name),
    )
    if rules.consolidation_level is ConsolidationLevel.AGGRESSIVE:
        return _replaced_together(given_up, free)
    for node in sorted(given_up, key=lambda n: (-n.micro_usd, n.node.name)):
        twin = next((n for n in free if _takes(n, node)), None)
        if twin is None:
            return (
                f"Node {node.node.name} is used too well to be given up at the level"
                f" {rules.consolidation_level.value}, unless a cheaper one takes all its pods."
            )
        free.remove(twin)
    return None


def _replaced_together(given_up: Sequence[StandingNode], launched: Sequence[StandingNode]) -> str | None:
    asked = sum((requested(n) for n in given_up), Resources())
    cpu = sum(room_of(n).cpu_millicores for n in launched)
    memory = sum(room_of(n).memory_bytes for n in launched)
    if asked.cpu_millicores <= cpu and asked.memory_bytes <= memory:
        return None
    return (
        f"{len(given_up)} nodes, {min(n.node.name for n in given_up)} for one, are used too well to be given up, unless"
        " new ones have room for all of their pods."
    )


def _takes(new: StandingNode, old: StandingNode) -> bool:
    if old.offer is None or new.micro_usd >= old.micro_usd:
        return False
    asked, room = requested(old), room_of(new)
    return asked.cpu_millicores <= room.cpu_millicores and asked.memory_bytes <= room.memory_bytes


def room_of(node: StandingNode) -> Resources:
    """Give what a node has beside its daemons."""
    return node.node.allocatable - sum((p.requests for p in node.pods if p.is_daemon), Resources())
