"""Search for what to change: room for pods that wait, and a fleet that is worth the way to it.

The answer is never worse than no answer: a fleet that saves less than the rules ask for is given as a reason
instead of moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.optimizer.domain import headroom
from services.optimizer.domain.consolidation import Consolidator, Option, objective
from services.optimizer.domain.drafts import MoveDraft
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.moving import Mover, Way
from services.optimizer.domain.offers import MICRO
from services.optimizer.domain.rehearsal import LARGE_CLUSTER_PODS
from services.optimizer.domain.rules import Consolidation, PlanRules
from services.optimizer.domain.safeguards import Safeguards, safeguards

REHEARSED_PODS = 1500
REHEARSED_OPTIONS_LEAST = 3
"""Options that are rehearsed: all of them in a small cluster, the most promising in a large one."""
TRIMMED_WAYS = 2
THINNED_AGAIN = 3
"""How often the fleet of the best way is made cheaper."""


class PlanMode(StrEnum):
    """What is asked for."""

    SAVE = "save"
    """A cheaper fleet, and room for pods that fit nowhere."""
    PENDING = "pending"
    """Only room for pods that fit nowhere."""
    GREENFIELD = "greenfield"
    """A fleet for the same pods, as if there were no node yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search came to."""

    after: FleetState
    moves: tuple[MoveDraft, ...]
    skip_reason: str | None
    """Why there are no moves."""


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for changes to one fleet."""

    start: FleetState
    consolidator: Consolidator
    mover: Mover
    rules: PlanRules

    def outcome(self, mode: PlanMode) -> Outcome:
        """Plan with headroom; without it where real pods would stand back for it."""
        asked = headroom.placeholders(self.rules)
        if mode is PlanMode.GREENFIELD:
            asked += headroom.nodes_wanted(self.rules.min_nodes)
        full = replace(self, start=replace(self.start, pending=(*self.start.pending, *asked)))
        found = full._planned(mode)
        waiting = len(headroom.without(found.after.pending))
        if asked and waiting:
            plain = self._planned(mode)
            if len(plain.after.pending) < waiting:
                after = replace(plain.after, pending=(*plain.after.pending, *asked))
                found = replace(plain, after=after)
        return replace(found, moves=_told(found.moves))

    def _planned(self, mode: PlanMode) -> Outcome:
        return self.save() if mode is PlanMode.SAVE else self.make_room()

    def save(self) -> Outcome:
        """Look for a fleet that is cheaper by more than the change to it costs; else at least make room."""
        option = self.consolidator.with_room(self.start)
        room = self._launched(option)
        if self.rules.consolidation is Consolidation.OFF:
            return _instead(room, "The policy lets no node be given up.")
        if not any(n.kept_because is None for n in self.start.nodes):
            why = "No node may be changed." if self.start.nodes else "The cluster has no nodes."
            return _instead(room, why)
        known = sum(n.micro_usd for n in self.start.nodes if n.offer is not None)
        today = objective(room.after.nodes, self.consolidator.judge)
        wanted = max(round(known * self.rules.min_savings_ratio), 1)
        guards = self.guards(room.after)
        best = self._best_way(option, today, wanted, guards)
        if isinstance(best, str):
            return _instead(room, best)
        saved = today - objective(best.after.nodes, self.consolidator.judge)
        if saved < wanted:
            return _instead(room, _too_little(saved, known, self.rules))
        moves = self.mover.drafts(self.start, best)
        # Moves that save are joined until each is worth enough: one that is not is all there is.
        least = min((round(m.worth_usd_per_hour * MICRO) for m in moves if m.drains), default=None)
        if least is not None and least < self.rules.min_move_micro_usd:
            return _instead(room, _worth_too_little(least, self.rules))
        # Headroom may find room on a node of today where the plan that only makes room launched one.
        return Outcome(best.after, moves, None if moves else _too_little(0, known, self.rules))

    def guards(self, room: FleetState) -> Safeguards:
        """Give what no saving may break; `room` is the fleet that only gains what pods that wait need."""
        return safeguards(self.start, room, self.consolidator.judge)

    def _best_way(self, room: Option, today: int, wanted: int, guards: Safeguards) -> Way | str:
        """Give the way that is worth most, or say why there is none."""
        options = self.consolidator.options(self.start, room, guards)
        cheaper = [o for o in options if objective(o.after.nodes, self.consolidator.judge) < today]
        if not cheaper:
            return "No fleet was found that is cheaper than what runs now."
        broken = [guards.broken(o.after) for o in cheaper]
        cheaper = [o for o, why in zip(cheaper, broken, strict=True) if why is None]
        if not cheaper:
            return f"Cheaper fleets were found, but none within the policy: {broken[0]}"
        known = sum(n.micro_usd for n in self.start.nodes if n.offer is not None)
        gain = today - min(objective(o.after.nodes, self.consolidator.judge) for o in cheaper)
        if gain < wanted // 2:
            # Rehearsals add nodes, and seldom leave one out: what is far from enough stays so.
            return _too_little(gain, known, self.rules)
        promising = [o for o in cheaper if o.micro_rank < today]
        if not promising:
            return _no_payback(self.rules)
        moved = sum(len(n.movable) for n in self.start.nodes)
        ways: list[Way] = []
        limit = today
        most = max(REHEARSED_OPTIONS_LEAST, REHEARSED_PODS // max(moved, 1))
        # What takes all pods back in the orders tried likely needs nothing more on the way: that bounds the others.
        for number, option in enumerate(sorted(promising, key=lambda o: not o.is_sturdy)):
            # Beyond the most promising, others are looked at only as long as none of those will do.
            if number >= most and limit < today:
                break
            if option.micro_rank >= limit:
                continue
            ways.append(self.mover.way(self.start, option.after, limit=limit))
            if not ways[-1].homeless and guards.broken(ways[-1].after) is None:
                limit = min(limit, ways[-1].micro_rank)
        safe = [w for w in ways if not w.homeless]
        sound = sorted(
            (w for w in safe if guards.broken(w.after) is None), key=lambda w: (w.micro_rank, len(w.cuts))
        )
        if safe and not sound:
            return f"A cheaper fleet was found, but no way to it within the policy: {guards.broken(safe[0].after)}"
        if not sound:
            return (
                f"A cheaper fleet was found, but pod {ways[0].homeless[0]} might fit nowhere on the way to it,"
                " unless so many nodes are added that nothing is saved."
            )
        trimmed = [self._trimmed(w, guards) for w in sound[:TRIMMED_WAYS]]
        best = self._thinned(min(trimmed, key=lambda w: (w.micro_rank, len(w.cuts))), guards)
        return best if best.micro_rank < today else _no_payback(self.rules)

    def _thinned(self, way: Way, guards: Safeguards) -> Way:
        """Make the fleet cheaper still as long as the way to it needs nothing more: the next plan would."""
        if sum(len(n.movable) for n in self.start.nodes) > LARGE_CLUSTER_PODS:
            return way

        def is_good(fleet: FleetState) -> bool:
            return guards.broken(fleet) is None and self.mover.is_smooth(self.start, fleet)

        for attempt in range(1, THINNED_AGAIN + 1):
            option = self.consolidator.thinned_from(
                self.start, way.after, is_good, prefix=f"again-{attempt}-"
            )
            if option is None or option.micro_rank >= way.micro_rank:
                break
            again = self.mover.way(self.start, option.after)
            # It is rehearsed anew: told to stop meanwhile, the rehearsal ends with pods that have no place yet.
            is_safe = not again.homeless and guards.broken(again.after) is None
            if not is_safe or again.micro_rank >= way.micro_rank:
                break
            way = self._trimmed(again, guards)
        return way

    def _trimmed(self, way: Way, guards: Safeguards) -> Way:
        is_sturdy = self.consolidator.as_sturdy_as(self.start, way.after)
        return self.mover.trimmed(self.start, way, lambda f: guards.broken(f) is None and is_sturdy(f))

    def make_room(self) -> Outcome:
        """Launch for pods that fit nowhere."""
        return self._launched(self.consolidator.with_room(self.start))

    def _launched(self, option: Option) -> Outcome:
        moves = self.mover.drafts(self.start, self.mover.way(self.start, option.after))
        return Outcome(option.after, moves, None if moves else _no_launch(option.after))


def _no_launch(after: FleetState) -> str:
    if not after.pending:
        return "No pod is waiting for room."
    if headroom.without(after.pending):
        return "No offer takes the pods that wait."
    return "No offer has the room that the policy wants kept free."


def _instead(room: Outcome, why: str) -> Outcome:
    """Give the plan that only makes room; where that launches nothing either, `why` nothing is saved."""
    if room.moves:
        return room
    return replace(room, skip_reason=f"{_no_launch(room.after)} {why}" if room.after.pending else why)


def _told(moves: Sequence[MoveDraft]) -> tuple[MoveDraft, ...]:
    """Leave the placeholders of headroom out: a launch for headroom alone names no pod."""
    return tuple(
        replace(m, launches=tuple(replace(x, pods=headroom.told(x.pods)) for x in m.launches)) for m in moves
    )


def _no_payback(rules: PlanRules) -> str:
    return (
        "Cheaper fleets were found, but none would earn within"
        f" {rules.payback_seconds // 60} minutes what the change to it costs."
    )


def _too_little(gain: int, known: int, rules: PlanRules) -> str:
    if gain <= 0:
        return "No fleet was found that is cheaper than what runs now."
    share = gain / known if known else 0.0
    return (
        f"The best fleet found saves {share:.1%} ({gain / MICRO:.4g} USD/h), less than the"
        f" {rules.min_savings_ratio:.1%} that the policy asks for."
    )


def _worth_too_little(worth: int, rules: PlanRules) -> str:
    return (
        f"The best change found is worth {worth / MICRO:.4g} USD/h, less than the"
        f" {rules.min_move_savings_usd_per_hour:.4g} USD/h that the policy asks of a move"
        " (min_move_savings_usd_per_hour)."
    )
