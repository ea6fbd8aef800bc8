"""Cut the way from today's fleet to tomorrow's into moves, each safe by itself and worth doing.

    deletes   pods fit on nodes that are Ready now
    replaces  launch first; what the launches make superfluous goes in the same move
    deletes   nodes that earlier launches have made superfluous beyond one move's share

A pod's target is the same in every cut, so after any number of moves each node holds a part of what it
holds in the end, and no move can overfill one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from services.optimizer.domain.fleet_state import FleetState, StandingNode, weight
from shared.kernel.node_budgets import NodeBudgets, node_budgets

DRAINS_PER_MOVE = 5
DRAINED_SHARE = 20
"""A move drains at most five nodes, or one in twenty of a large cluster."""


class First(Enum):
    """Which nodes are drained first."""

    DEAREST = auto()
    """What saves most."""
    LARGEST = auto()
    """What holds the largest pod: one that comes late finds small ones everywhere, and on its way it goes from one
    node that is to be drained to the next, since these are the emptiest."""
    FULLEST = auto()
    """What holds most: while there is still room everywhere."""


@dataclass(slots=True)
class Cut:
    """A move in the making: names of nodes to launch and to drain."""

    launches: list[str] = field(default_factory=list)
    drains: list[str] = field(default_factory=list)
    is_for_pending: bool = False


def cut(
    before: FleetState,
    after: FleetState,
    *,
    worth: Mapping[str, int],
    min_savings_micro_usd: int,
    disrupted_ratio: float = 1.0,
    first: First = First.DEAREST,
) -> list[Cut]:
    """Give the moves in the order to carry them out.

    A move drains no more of a node pool than `disrupted_ratio` of it, unless it would not be worth making. `worth`
    is that of worth.by_node.
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
    cutter = _Cutter(
        needs=needs,
        worth=worth,
        urgency={name: _urgency(old[name], first) for name in needs},
        budgets=node_budgets((n.node for n in before.nodes), ratio=disrupted_ratio),
        most=max(DRAINS_PER_MOVE, len(old) // DRAINED_SHARE),
        least=min_savings_micro_usd,
    )
    pending = sorted({target[p.key] for p in before.pending if target.get(p.key) in new})
    cuts = cutter.cuts(pending)
    return worthwhile(cuts, worth, min_savings_micro_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutter:
    needs: dict[str, list[str]]
    """New nodes that pods of a node to be drained go to; emptied on the way."""
    worth: Mapping[str, int]
    """What draining a node saves, or launching it costs."""
    urgency: Mapping[str, int]
    """By node: those with more go first; 0 where only money counts."""
    budgets: NodeBudgets
    most: int
    least: int
    launched: set[str] = field(default_factory=set)

    def cuts(self, pending: Sequence[str]) -> list[Cut]:
        found: list[Cut] = []
        if pending:
            found.append(Cut(launches=list(pending), is_for_pending=True))
            self.launched.update(pending)
        found += self._deletes()
        while self.needs:
            found.append(self._replace())
            found += self._deletes()
        return found

    def _may_join(self, move: Cut, name: str) -> bool:
        return len(move.drains) < self.most and self.budgets.allows(name, move.drains)

    def _ready(self) -> list[str]:
        found = [name for name, wanted in self.needs.items() if self.launched.issuperset(wanted)]
        return sorted(found, key=lambda n: (-self.urgency[n], -self.worth[n], n))

    def _deletes(self) -> list[Cut]:
        found: list[Cut] = []
        for name in self._ready():
            del self.needs[name]
            if found and self._may_join(found[-1], name):
                found[-1].drains.append(name)
            else:
                found.append(Cut(drains=[name]))
        return found

    def _replace(self) -> Cut:
        move = Cut()
        while self.needs:
            name = self._next()
            move.launches += [w for w in self.needs[name] if w not in self.launched]
            self.launched.update(self.needs.pop(name))
            move.drains.append(name)
            for other in self._ready():
                if self._may_join(move, other) or savings(move, self.worth) < self.least:
                    move.drains.append(other)
                    del self.needs[other]
            if savings(move, self.worth) >= self.least and not self._may_join(move, self._next()):
                break
        return move

    def _next(self) -> str:
        return min(self.needs, key=lambda n: (-self.urgency[n], self._net(n), n), default="")

    def _net(self, name: str) -> int:
        """Give what launching for one more node costs beyond what the node saves."""
        return sum(self.worth[w] for w in self.needs[name] if w not in self.launched) - self.worth[name]


def _urgency(node: StandingNode, first: First) -> int:
    weights = [weight(p) for p in node.movable]
    if first is First.DEAREST or not weights:
        return 0
    return max(weights) if first is First.LARGEST else sum(weights)


def savings(move: Cut, worth: Mapping[str, int]) -> int:
    """Give what a move saves an hour in the objective, in micro-dollars."""
    return sum(worth[n] for n in move.drains) - sum(worth[n] for n in move.launches)


def worthwhile(cuts: Sequence[Cut], worth: Mapping[str, int], min_savings: int) -> list[Cut]:
    """Join moves that save too little by themselves to the one before (the first: to the one after).

    Only where all of them together save too little, one is left that does.
    """
    found = [Cut(list(m.launches), list(m.drains), is_for_pending=True) for m in cuts if m.is_for_pending]
    first = len(found)
    for move in cuts:
        if move.is_for_pending:
            continue
        found.append(Cut(list(move.launches), list(move.drains)))
        # What is joined may take from the one before what it is worth: then that is joined too.
        while len(found) > first + 1 and min(savings(m, worth) for m in found[-2:]) < min_savings:
            last = found.pop()
            found[-1].launches += last.launches
            found[-1].drains += last.drains
    return found


def standing(state: FleetState) -> dict[str, StandingNode]:
    """Give the nodes by name."""
    return {n.node.name: n for n in state.nodes}
