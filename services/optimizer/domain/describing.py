"""Say a move in a sentence."""

from collections import Counter
from collections.abc import Iterable, Sequence

from services.optimizer.domain import objectives, preferences
from services.optimizer.domain.drafts import DraftReason
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer, usd
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.resources import Resources
from shared.kernel.workload import Pod

NAMED_KINDS = 3

WHY_LAUNCHED = {
    DraftReason.PENDING_PODS: "for pods that fit on no node",
    DraftReason.HEADROOM: "to keep the headroom that the policy asks for",
    DraftReason.MAKING_ROOM: "for pods that later moves bring",
}


def kinds(nodes: Sequence[StandingNode]) -> str:
    """Give a list such as `3 m5.large on-demand, 1 c6i.xlarge spot`."""
    counts = Counter(_kind(n) for n in nodes)
    parts = [f"{number} {kind}" for kind, number in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]
    more = len(parts) - NAMED_KINDS
    return ", ".join(parts[:NAMED_KINDS]) + (f" and {more} other kinds" if more > 0 else "")


def named(offer: Offer) -> str:
    """Name what is on offer, such as `m5.large spot in use1-az1`."""
    return f"{offer.pool.instance_type} {offer.pool.capacity_type.value} in {offer.pool.zone_id}"


def many(number: int, thing: str) -> str:
    """Count things, such as `1 pod`, `2 pods`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _kind(node: StandingNode) -> str:
    name = node.node.instance_type or "node"
    if node.offer is None:
        return name
    paid = " paid for by a commitment" if node.offer.is_committed else ""
    return f"{name} {node.offer.pool.capacity_type.value}{paid}"


def sentence(
    drained: Sequence[StandingNode],
    launched: Sequence[StandingNode],
    reason: DraftReason,
    pods: int,
    earned: int,
) -> str:
    """Tell what goes, what comes, and what it costs before and after; `earned` is what that is worth, risk included."""
    before, after = sum(n.micro_usd for n in drained), sum(n.micro_usd for n in launched)
    if not drained:
        return f"Launch {kinds(launched)} at {usd(after):.4g} USD/h {WHY_LAUNCHED[reason]}."
    moving = f"{pods} pod{'' if pods == 1 else 's'}"
    if not launched:
        whose = "its" if len(drained) == 1 else "their"
        where = f"{whose} {moving} fit{'s' if pods == 1 else ''}"
        rest = f"{where} on nodes that are there" if pods else "nothing that must move runs there"
        return f"Give up {kinds(drained)} ({usd(before):.4g} USD/h): {rest}.{_beside_price(drained, before, earned)}"
    moving += " moves" if pods == 1 else " move"
    return (
        f"Replace {kinds(drained)} ({usd(before):.4g} USD/h) by {kinds(launched)}"
        f" ({usd(after):.4g} USD/h); {moving}.{_beside_price((*drained, *launched), before - after, earned)}"
    )


def _beside_price(nodes: Sequence[StandingNode], saved: int, earned: int) -> str:
    """Tell what a move does to the objective beside price, where it does."""
    if earned == saved:
        return ""
    price = f"saves {usd(saved):.4g}" if saved >= 0 else f"costs {usd(-saved):.4g}"
    change = "lowers" if earned > saved else "raises"
    has_wishes = any(preferences.is_unwelcoming(n.node) for n in nodes) or any(
        p.preferred_nodes for n in nodes for p in n.movable
    )
    wishes = ", and of preferences that are not met," if has_wishes else ""
    return (
        f" It {price} USD/h in price and {change} the expected cost of interruptions{wishes} by"
        f" {usd(abs(earned - saved)):.4g} USD/h as the policy weighs it: worth {usd(earned):.4g} USD/h."
    )


def next_offer(
    offers: Sequence[Offer], pods: Sequence[Pod], judge: SpotJudge, shelf: Shelf
) -> tuple[str, float] | None:
    """Name the next best offer for a launch's pods, with how much dearer it is in USD an hour; None without one.

    `offers` has the planned one first. What is compared is the objective; below zero, the other would be cheaper for
    these pods alone, whatever else the plan weighed.
    """
    if len(offers) < 2:
        return None
    planned, other = offers[0], offers[1]
    dearer = other.micro_usd - planned.micro_usd
    beside = [objectives.beside_price(shelf.node_like(o), o, pods, judge) for o in (other, planned)]
    extra = dearer + beside[0] - beside[1]
    with_risk = f", {usd(extra):+.4g} USD/h with risk and preferences" if extra != dearer else ""
    text = (
        f"{other.pool} at {usd(other.micro_usd):.4g} USD/h, {usd(dearer):+.4g} USD/h against {planned.pool}"
    )
    return text + with_risk, usd(extra)


def keeping(drained: Sequence[StandingNode], earned: int) -> tuple[str, float]:
    """Name keeping the nodes, with how much dearer that is in USD an hour."""
    price = usd(sum(n.micro_usd for n in drained))
    return f"keeping {kinds(drained)} at {price:.4g} USD/h", usd(earned)


def leaving_them(pods: int) -> str:
    """Name what a launch beats where no other offer would do."""
    if not pods:
        return "no launch: the moves after it might leave pods without room"
    return (
        f"no launch: {pods} pod{'' if pods == 1 else 's'} would go on waiting, and no other offer holds them"
    )


def binding_constraint(launched: Sequence[StandingNode]) -> str | None:
    """Name the resource that the new nodes are fullest in."""
    found = _fullest(launched)
    return None if found is None else f"{found} of what the new nodes have is requested"


def binding_for(drained: Sequence[StandingNode], after: Iterable[StandingNode]) -> str:
    """Name the resource that the nodes are fullest in which the pods of nodes that go are meant for."""
    moving = {p.key for n in drained for p in n.movable}
    takers = [n for n in after if any(p.key in moving for p in n.movable)]
    found = _fullest(takers)
    if found is None:
        return "none: nothing that must move runs there"
    return f"{found} of what the nodes that take the pods have is requested then"


def _fullest(nodes: Sequence[StandingNode]) -> str | None:
    if not nodes:
        return None
    used = _total([p.requests for n in nodes for p in n.pods], sum(len(n.pods) for n in nodes))
    room = _total([n.node.allocatable for n in nodes], sum(n.node.max_pods for n in nodes))
    shares = {name: used.get(name, 0) / room[name] for name in room if room[name] > 0}
    name, share = max(shares.items(), key=lambda i: (round(i[1], 6), i[0]))
    return f"{name}: {share:.0%}"


def _total(amounts: Sequence[Resources], pods: int) -> dict[str, int]:
    found = {
        "CPU": sum(r.cpu_millicores for r in amounts),
        "memory": sum(r.memory_bytes for r in amounts),
        "pod slots": pods,
    }
    for r in amounts:
        for name, number in r.extended.items():
            found[name] = found.get(name, 0) + number
    return found
