"""Say a move in a sentence."""

from collections import Counter
from collections.abc import Sequence

from services.optimizer.domain import headroom
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer, usd
from shared.kernel.resources import Resources

NAMED_KINDS = 3


def kinds(nodes: Sequence[StandingNode]) -> str:
    """Give a list such as `3 m5.large on-demand, 1 c6i.xlarge spot`."""
    counts = Counter(_kind(n) for n in nodes)
    parts = [f"{number} {kind}" for kind, number in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]
    more = len(parts) - NAMED_KINDS
    return ", ".join(parts[:NAMED_KINDS]) + (f" and {more} other kinds" if more > 0 else "")


def _kind(node: StandingNode) -> str:
    name = node.node.instance_type or "node"
    return f"{name} {node.offer.pool.capacity_type.value}" if node.offer else name


def sentence(drained: Sequence[StandingNode], launched: Sequence[StandingNode], pods: int) -> str:
    """Tell what goes, what comes, and what it costs before and after."""
    before, after = sum(n.micro_usd for n in drained), sum(n.micro_usd for n in launched)
    if not drained:
        is_spare = all(headroom.is_placeholder(p) for n in launched for p in n.movable)
        why = "to keep the headroom that the policy asks for" if is_spare else "for pods that fit on no node"
        return f"Launch {kinds(launched)} at {usd(after):.4g} USD/h {why}."
    moving = f"{pods} pod{'' if pods == 1 else 's'}"
    if not launched:
        where = f"its {moving} fit" if len(drained) == 1 else f"their {moving} fit"
        rest = f"{where} on nodes that are there" if pods else "nothing that must move runs there"
        return f"Give up {kinds(drained)} ({usd(before):.4g} USD/h): {rest}."
    return (
        f"Replace {kinds(drained)} ({usd(before):.4g} USD/h) by {kinds(launched)}"
        f" ({usd(after):.4g} USD/h); {moving} move."
    )


def runner_up(drained: Sequence[StandingNode], offers: Sequence[Offer]) -> tuple[str, float] | None:
    """Name what a move was weighed against, with how much dearer that is in USD an hour.

    `offers` are those of the first launch, the planned one first: the next best of them; without a launch it is
    keeping the nodes.
    """
    if offers:
        if len(offers) < 2:
            return None
        planned, other = offers[0], offers[1]
        extra = usd(other.micro_usd - planned.micro_usd)
        return (
            f"{other.pool} at {usd(other.micro_usd):.4g} USD/h, {extra:+.4g} USD/h against {planned.pool}",
            extra,
        )
    price = usd(sum(n.micro_usd for n in drained))
    return f"keeping {kinds(drained)} at {price:.4g} USD/h", price


def binding_constraint(launched: Sequence[StandingNode]) -> str | None:
    """Name the resource that the new nodes are fullest in."""
    if not launched:
        return None
    used: Counter[str] = Counter()
    room: Counter[str] = Counter()
    for node in launched:
        free = node.node.allocatable
        room.update(_amounts(free, node.node.max_pods))
        for pod in node.pods:
            used.update(_amounts(pod.requests, 1))
    shares = {name: used[name] / room[name] for name in room if room[name] > 0}
    name, share = max(shares.items(), key=lambda i: (round(i[1], 6), i[0]))
    return f"{name}: {share:.0%} of what the new nodes have is requested"


def _amounts(resources: Resources, pods: int) -> dict[str, int]:
    return {
        "CPU": resources.cpu_millicores,
        "memory": resources.memory_bytes,
        "pod slots": pods,
        **resources.extended,
    }
