"""Cut the way from today's fleet to tomorrow's into moves, each safe by itself and worth doing.

    deletes   pods fit on nodes that are Ready now
    replaces  launch first; what the launches make superfluous goes in the same move
    deletes   nodes that earlier launches have made superfluous beyond one move's share

A pod's target is the same in every cut, so after any number of moves each node holds a part of what it
holds in the end, and no move can overfill one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.optimizer.domain.fleet_state import FleetState, StandingNode, weight

DRAINS_PER_MOVE = 5
DRAINED_SHARE = 20
"""A move drains at most five nodes, or one in twenty of a large cluster."""


@dataclass(slots=True)
class Cut:
    """A move in the making: names of nodes to launch and to drain."""

    launches: list[str] = field(default_factory=list)
    drains: list[str] = field(default_factory=list)
    is_for_pending: bool = False


def cut(
    before: FleetState, after: FleetState, *, min_savings_micro_usd: int, largest_first: bool = False
) -> list[Cut]:
    """Give the moves in the order to carry them out: what saves most first, or the largest pods.

    A large pod that comes late finds small ones everywhere, and on its way it goes from one node that is to be
    drained to the next, since these are the emptiest.
    """
    old = {n.node.name: n for n in before.nodes}
    new = {n.node.name: n for n in after.nodes if n.node.name not in old}
    staying = {n.node.name for n in after.nodes}
    target = {p.key: n.node.name for n in after.nodes for p in n.pods}
    needs = {
        name: sorted({target[p.key] for p in node.movable if target.get(p.key) in new})
        for name, node in old.items()
        if name not in staying
    }
    prices = {name: node.micro_usd for name, node in {**old, **new}.items() if node.offer is not None}
    largest = {
        name: max((weight(p) for p in old[name].movable), default=0) if largest_first else 0 for name in needs
    }
    most = max(DRAINS_PER_MOVE, len(old) // DRAINED_SHARE)
    launched: set[str] = set()
    cuts: list[Cut] = []
    pending = sorted({target[p.key] for p in before.pending if target.get(p.key) in new})
    if pending:
        cuts.append(Cut(launches=pending, is_for_pending=True))
        launched.update(pending)
    cuts += _deletes(needs, launched, prices, largest, most)
    while needs:
        cuts.append(_replace(needs, launched, prices, largest, min_savings_micro_usd, most))
        cuts += _deletes(needs, launched, prices, largest, most)
    return worthwhile(cuts, prices, min_savings_micro_usd)


def savings(move: Cut, prices: Mapping[str, int]) -> int:
    """Give what a move saves an hour, in micro-dollars."""
    return sum(prices[n] for n in move.drains) - sum(prices[n] for n in move.launches)


def _ready(
    needs: Mapping[str, Sequence[str]],
    launched: set[str],
    prices: Mapping[str, int],
    largest: Mapping[str, int],
) -> list[str]:
    found = [name for name, wanted in needs.items() if launched.issuperset(wanted)]
    return sorted(found, key=lambda n: (-largest[n], -prices[n], n))


def _deletes(
    needs: dict[str, list[str]],
    launched: set[str],
    prices: Mapping[str, int],
    largest: Mapping[str, int],
    most: int,
) -> list[Cut]:
    ready = _ready(needs, launched, prices, largest)
    for name in ready:
        del needs[name]
    return [Cut(drains=ready[i : i + most]) for i in range(0, len(ready), most)]


def _replace(
    needs: dict[str, list[str]],
    launched: set[str],
    prices: Mapping[str, int],
    largest: Mapping[str, int],
    min_savings: int,
    most: int,
) -> Cut:
    move = Cut()
    while needs:

        def net(name: str) -> int:
            return sum(prices[w] for w in needs[name] if w not in launched) - prices[name]

        name = min(needs, key=lambda n: (-largest[n], net(n), n))
        move.launches += [w for w in needs[name] if w not in launched]
        launched.update(needs.pop(name))
        move.drains.append(name)
        for other in _ready(needs, launched, prices, largest):
            if len(move.drains) < most or savings(move, prices) < min_savings:
                move.drains.append(other)
                del needs[other]
        if len(move.drains) >= most and savings(move, prices) >= min_savings:
            break
    return move


def worthwhile(cuts: Sequence[Cut], prices: Mapping[str, int], min_savings: int) -> list[Cut]:
    """Join moves that save too little by themselves to the one before (the first: to the one after)."""
    found: list[Cut] = []
    carried = Cut()
    for move in cuts:
        if move.is_for_pending:
            found.append(move)
            continue
        joined = Cut(carried.launches + move.launches, carried.drains + move.drains)
        carried = Cut()
        if savings(joined, prices) >= min_savings:
            found.append(joined)
        elif found and not found[-1].is_for_pending:
            found[-1].launches += joined.launches
            found[-1].drains += joined.drains
        else:
            carried = joined
    if carried.drains or carried.launches:
        found.append(carried)
    return found


def standing(state: FleetState) -> dict[str, StandingNode]:
    """Give the nodes by name."""
    return {n.node.name: n for n in state.nodes}
