"""Which nodes to give up: today's fleet made thinner, and fresh fleets, each as robust as a restart of all pods asks.

Every fleet must take all pods back in whatever order they come (restarts), and is then changed by one or two nodes
at a time as long as that makes it cheaper (thinning). Which of the options wins is decided later, when the way to
each has been rehearsed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from services.optimizer.domain import deleting, disruption, levels, objectives
from services.optimizer.domain.fleet_state import FleetState, StandingNode, blocked_pods, unmovable
from services.optimizer.domain.keeping import Keeper
from services.optimizer.domain.packing.fleet import LOOKING, TIGHT, Packer, Packing, Style
from services.optimizer.domain.placing import Placer
from services.optimizer.domain.rehearsal import LARGE_CLUSTER_PODS
from services.optimizer.domain.restarts import LARGE_CROWD, Crowd, canonical
from services.optimizer.domain.rules import Consolidation, PlanRules
from services.optimizer.domain.safeguards import Safeguards
from services.optimizer.domain.spot_tolerance import SpotJudge
from services.optimizer.domain.thinning import Thinned, Thinner
from shared.kernel.workload import Pod

STYLES = (Style(0.2, 3000), TIGHT)
"""Fresh fleets, roomy on nodes of at least four cores, and packed to the brim on whatever size.

The roomy one comes first: it survives the way to it, and must be there when the time is up.
"""
KEEPING = (Style(0.1, 3000), TIGHT)
"""How roomy the model of what to keep leaves nodes."""
KEEPING_WHEN_LARGE = (Style(0.05, 7000), Style(0.12, 15000))
STYLES_WHEN_LARGE = (TIGHT, Style(0.05, 7000), Style(0.1, 15000))
"""A large cluster evens out by itself, and every further option takes a second there."""
THINNED = 4
"""Fresh fleets that are looked at more closely, beside the one of today."""
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Option:
    """One way to change the fleet."""

    drained: frozenset[str]
    packing: Packing
    after: FleetState
    micro_rank: int
    """Price and risk an hour of the nodes whose price is known, and what the change must earn an hour."""
    style: Style
    is_sturdy: bool = False
    """Whether the fleet takes all pods back in every order that is tried."""

    @property
    def order(self) -> tuple[int, int, list[str]]:
        """Order options: the cheapest, of these the one that drains least."""
        return self.micro_rank, len(self.drained), sorted(self.drained)


@dataclass(frozen=True, slots=True)
class Consolidator:
    """Looks for cheaper fleets under one market and one set of rules."""

    packer: Packer
    judge: SpotJudge
    rules: PlanRules

    def with_room(self, state: FleetState) -> Option:
        """Give today's fleet with room for the pods that wait, as far as something on offer takes them."""
        return self._changed(state, frozenset(), self._packing(state, frozenset(), "new-0-", TIGHT), TIGHT)

    def options(self, state: FleetState, room: Option, guards: Safeguards) -> list[Option]:
        """Give the fleets that place every pod that runs now, wherever the pods lie, the most promising first.

        Args:
            state: what runs.
            room: the same with room for the pods that wait.
            guards: what no fleet may break.
        """
        if self.rules.consolidation is Consolidation.DELETE_ONLY:
            settled = deleting.settled(state, room.after)
            start = Option(
                frozenset(), Packing((), {}, settled.state.pending), settled.state, room.micro_rank, TIGHT
            )
            found = self._options(settled.state, start, guards)
            return sorted((self._opened(o, state, settled) for o in found), key=lambda o: o.order)
        return self._options(state, room, guards)

    def _opened(self, option: Option, state: FleetState, settled: deleting.Settled) -> Option:
        after = settled.opened(option.after)
        return replace(option, after=after, micro_rank=rank(state, after, self.judge))

    def _options(self, state: FleetState, room: Option, guards: Safeguards) -> list[Option]:
        movable = [n for n in state.nodes if n.kept_because is None]
        if not movable:
            return []
        pods = sum(len(n.movable) for n in movable)
        if pods > LARGE_CLUSTER_PODS:
            found = self._when_large(state, room, guards)
            if found or pods > LARGE_CROWD:
                return found
        found = self._kept(state, guards, KEEPING)
        if self._may_launch:
            everything = frozenset(n.node.name for n in movable)
            partly = frozenset(n.node.name for n in movable if not levels.is_replaced_alone(n, self.rules))
            for drained in dict.fromkeys((everything, partly)):
                for style in STYLES_WHEN_LARGE if pods > LARGE_CLUSTER_PODS else STYLES:
                    if self.packer.should_stop() and found:
                        break
                    if any(o.style == style and 10 * len(drained - o.drained) < len(drained) for o in found):
                        continue  # much the same was asked already
                    option = self.evaluate(state, drained, prefix=f"new-{len(found) + 1}-", style=style)
                    if option is not None and guards.broken(option.after) is None:
                        found.append(option)
        promising = sorted(found, key=lambda o: o.order)[:THINNED]
        return sorted(self._thinned(state, [room, *promising], guards), key=lambda o: o.order)

    def _kept(self, state: FleetState, guards: Safeguards, styles: Iterable[Style]) -> list[Option]:
        """Give the fleets that come of one model of what runs and what is on offer."""
        keeper = Keeper(state, self.packer.shelf, self.packer.grouper, LOOKING, self.packer.should_stop)
        found: list[Option] = []
        for number, style in enumerate(styles):
            for keeps_full in (False, True):
                drained = keeper.ask(style, keeps_full=keeps_full).given_up
                if not drained:
                    break
                option = self.evaluate(
                    state, drained, prefix=f"keep-{number}-", style=style, may_launch=self._may_launch
                )
                if option is not None and guards.broken(option.after) is None:
                    found.append(option)
                    break
                if self.packer.should_stop():
                    break
        return found

    def _when_large(self, state: FleetState, room: Option, guards: Safeguards) -> list[Option]:
        """Ask the model alone; of its fleets the first that takes all pods back, whatever their order, is enough."""
        placer = Placer(self.packer, self.judge)
        crowd = Crowd(
            self._restartable(state, room.after), state.objects.volumes, refuses_spot=placer.refuses_spot
        )
        thinner = Thinner(state.nodes, self.packer.shelf, crowd, self.rules, self.packer.should_stop)
        today = Thinned(tuple(range(len(state.nodes))), tuple(sorted(p.row for p in room.packing.new)))
        keeper = Keeper(state, self.packer.shelf, self.packer.grouper, LOOKING, self.packer.should_stop)
        limit = rank(state, room.after, self.judge)
        for is_lenient, keeps_full in product((False, True), repeat=2):
            if self.packer.should_stop() or (is_lenient and thinner.holds(today)):
                break
            if is_lenient:
                thinner.be_lenient(today)
            fleets: dict[Thinned, Style] = {}
            for style in KEEPING_WHEN_LARGE:
                answer = keeper.ask(style, keeps_full=keeps_full)
                stay = tuple(i for i, n in enumerate(state.nodes) if n.node.name not in answer.given_up)
                fleet = thinner.fortify(Thinned(stay, answer.launched))
                if fleet is not None and fleet != today:
                    fleets.setdefault(fleet, style)
                if self.packer.should_stop():
                    break
            ordered = sorted(fleets, key=lambda f: (thinner.price(f), f.stay, f.launch))
            if ordered and crowd.size <= LARGE_CROWD:
                # Where policy has more to say than room, the thinner one may be refused: the other comes next.
                thin = thinner.thin(ordered[0], lambda _: True)
                fleets.setdefault(thin, fleets[ordered[0]])
                ordered = list(dict.fromkeys((thin, *ordered)))
            for number, fleet in enumerate(ordered):
                option = self._built(state, fleet, placer, prefix=f"keep-{number}-", style=fleets[fleet])
                if option is not None and option.micro_rank < limit and guards.broken(option.after) is None:
                    return [option]
        return []

    def _built(
        self, state: FleetState, fleet: Thinned, placer: Placer, *, prefix: str, style: Style = TIGHT
    ) -> Option | None:
        stay = {state.nodes[i].node.name for i in fleet.stay}
        drained = frozenset(n.node.name for n in state.nodes if n.node.name not in stay)
        packing = placer.place(state, drained, fleet.launch, prefix=prefix)
        if packing is None:
            return None
        return self._changed(state, drained, packing, style)

    def _thinned(self, state: FleetState, options: Sequence[Option], guards: Safeguards) -> list[Option]:
        """Give the fleets that come of these by changing one or two nodes at a time; the first is today's."""
        placer = Placer(self.packer, self.judge)
        room = options[0]
        crowd = Crowd(
            self._restartable(state, room.after), state.objects.volumes, refuses_spot=placer.refuses_spot
        )
        at = {n.node.name: i for i, n in enumerate(state.nodes)}
        today = Thinned(tuple(range(len(state.nodes))), tuple(sorted(p.row for p in room.packing.new)))
        thinner = Thinner(state.nodes, self.packer.shelf, crowd, self.rules, self.packer.should_stop)
        found: dict[Thinned, Option] = {}
        weak: dict[Thinned, Option] = {}

        def built(fleet: Thinned, prefix: str) -> Option | None:
            option = self._built(state, fleet, placer, prefix=prefix)
            return option if option is not None and guards.broken(option.after) is None else None

        def acceptable(fleet: Thinned) -> bool:
            return crowd.size > LARGE_CLUSTER_PODS or built(fleet, "thin-") is not None

        def search() -> None:
            for option in options:
                if found and self.packer.should_stop():
                    break
                stay = tuple(i for name, i in at.items() if name not in option.drained)
                start = Thinned(stay, tuple(sorted(p.row for p in option.packing.new)))
                strong = thinner.fortify(start)
                thin = None if strong is None else thinner.thin(strong, acceptable)
                if strong == start and start != today:
                    found.setdefault(start, replace(option, is_sturdy=True))
                for fleet in (thin, strong):
                    if fleet is None or fleet in found or fleet == today:
                        continue
                    better = built(fleet, f"thin-{len(found) + 1}-")
                    if better is not None:
                        found[fleet] = replace(better, is_sturdy=True)
                        break
                if start != today and not {thin, strong} & found.keys():
                    # Policy lets no stronger one be used: rehearsals have the last word.
                    weak.setdefault(start, option)

        search()
        if all(o.micro_rank >= rank(state, room.after, self.judge) for o in found.values()):
            thinner.be_lenient(today)
            search()
        return list(({**weak, **found}).values())

    def thinned_from(
        self, state: FleetState, fleet: FleetState, is_good: Callable[[FleetState], bool], *, prefix: str
    ) -> Option | None:
        """Make a fleet that was found cheaper still, as sturdy and as good as it has to be; None: there is no way."""
        if self.rules.consolidation is not Consolidation.DELETE_ONLY:
            return self._thinned_from(state, fleet, is_good, prefix)
        settled = deleting.settled(state, fleet)
        found = self._thinned_from(
            settled.state, settled.closed(fleet), lambda f: is_good(settled.opened(f)), prefix
        )
        return None if found is None else self._opened(found, state, settled)

    def _thinned_from(
        self, state: FleetState, fleet: FleetState, is_good: Callable[[FleetState], bool], prefix: str
    ) -> Option | None:
        placer = Placer(self.packer, self.judge)
        crowd = Crowd(
            self._restartable(state, fleet), state.objects.volumes, refuses_spot=placer.refuses_spot
        )
        thinner = Thinner(state.nodes, self.packer.shelf, crowd, self.rules, self.packer.should_stop)
        stays = {n.node.name for n in fleet.nodes}
        old = {n.node.name for n in state.nodes}
        new = (n for n in fleet.nodes if n.node.name not in old)
        launched = [self.packer.shelf.row(n.offer) for n in new if n.offer is not None]
        now = Thinned(
            tuple(i for i, n in enumerate(state.nodes) if n.node.name in stays), tuple(sorted(launched))
        )
        thinner.be_lenient(now)
        better: dict[Thinned, Option] = {}

        def acceptable(thin: Thinned) -> bool:
            option = self._built(state, thin, placer, prefix=prefix)
            if option is None or not is_good(option.after):
                return False
            better[thin] = option
            return True

        return better.get(thinner.thin(now, acceptable))

    def as_sturdy_as(self, state: FleetState, fleet: FleetState) -> Callable[[FleetState], bool]:
        """Give a test of fleets: whether they take all pods back, whatever their order, as well as this one does."""
        placer = Placer(self.packer, self.judge)
        crowd = Crowd(
            self._restartable(state, fleet), state.objects.volumes, refuses_spot=placer.refuses_spot
        )

        def left(other: FleetState, most: int) -> int:
            usable = (n for n in other.nodes if n.node.is_ready and not n.node.is_unschedulable)
            return crowd.restart(crowd.hosts(canonical(usable)), most=most).left

        most = left(fleet, crowd.size)
        return lambda other: left(other, most) <= most

    def _restartable(self, state: FleetState, after: FleetState) -> list[Pod]:
        blocked = blocked_pods(state.objects.budgets, state.objects.pods)
        # A pod that waits has to find room too, whether or not it may be moved from there later.
        waiting = {p.key for p in state.pending}
        usable = (n for n in after.nodes if n.node.is_ready and not n.node.is_unschedulable)
        return [
            p
            for n in usable
            for p in n.movable
            if p.key in waiting or not unmovable(p, self.rules, self.judge, blocked)
        ]

    @property
    def _may_launch(self) -> bool:
        return self.rules.consolidation is Consolidation.REPLACE

    def evaluate(
        self,
        state: FleetState,
        drained: frozenset[str],
        *,
        prefix: str,
        style: Style = TIGHT,
        may_launch: bool = True,
    ) -> Option | None:
        """Give up these nodes; nodes whose pods find no place stay after all."""
        for _ in range(RETRIES):
            packing = self._packing(state, drained, prefix, style if may_launch else None)
            homeless = {p.key for p in packing.unplaced}
            going = (n for n in state.nodes if n.node.name in drained)
            stuck = {n.node.name for n in going if any(p.key in homeless for p in n.movable)}
            if not stuck:
                return self._changed(state, drained, packing, style)
            drained -= stuck
        return None

    def _packing(
        self, state: FleetState, drained: frozenset[str], prefix: str, style: Style | None
    ) -> Packing:
        """Place the pods of these nodes and those that wait; without a style only on nodes that stay."""
        going = (n for n in state.nodes if n.node.name in drained)
        pods = [*(unbound(p) for n in going for p in n.movable), *state.pending]
        kept = state.without(drained)
        if style is None:
            return self.packer.squeeze(pods, kept)
        return self.packer.pack(pods, kept, prefix=prefix, style=style)

    def _changed(self, state: FleetState, drained: frozenset[str], packing: Packing, style: Style) -> Option:
        after = self._after(state, drained, packing)
        return Option(drained, packing, after, rank(state, after, self.judge), style)

    def _after(self, state: FleetState, drained: frozenset[str], packing: Packing) -> FleetState:
        arrivals: dict[str, list[Pod]] = {}
        by_key = {p.key: p for n in state.nodes for p in n.pods} | {p.key: p for p in state.pending}
        for key, name in packing.onto_kept.items():
            arrivals.setdefault(name, []).append(by_key[key].on(name))
        stay = [
            replace(n, pods=(*n.pods, *arrivals.get(n.node.name, ())))
            for n in state.nodes
            if n.node.name not in drained
        ]
        new = [
            StandingNode(
                p.node,
                p.offer,
                (
                    *self.packer.shelf.daemons_on(p.row, p.node),
                    *(pod.on(p.node.name) for pod in p.pods),
                ),
                None,
            )
            for p in packing.new
        ]
        nodes = tuple(sorted((*stay, *new), key=lambda n: n.node.name))
        pending = tuple(packing.unplaced)
        return replace(state, nodes=nodes, pending=pending)


def unbound(pod: Pod) -> Pod:
    """Give the pod as its controller would make it again: on no node yet."""
    return pod.on(None)


def objective(nodes: Iterable[StandingNode], judge: SpotJudge) -> int:
    """Give price, risk and unmet wishes of the nodes whose price is known, in micro-dollars an hour."""
    return objectives.breakdown(nodes, judge).total


def rank(before: FleetState, after: FleetState, judge: SpotJudge) -> int:
    """Give what a fleet costs an hour, with what the change to it must earn an hour, in micro-dollars."""
    old = {n.node.name for n in before.nodes}
    stays = {n.node.name for n in after.nodes}
    drained = (n for n in before.nodes if n.node.name not in stays)
    launched = (n for n in after.nodes if n.node.name not in old)
    once = disruption.charge(drained, launched, judge.rules)
    return objective(after.nodes, judge) + disruption.hourly(once, judge.rules)
