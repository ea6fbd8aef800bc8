"""Choose nodes to launch by numbers, then place pods on them as far as the scheduler's rules let."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns.problem import Effort, Ending
from services.optimizer.domain.columns.proofs import Proofs
from services.optimizer.domain.packing import balancing, by_columns, grouping, relaxing, zoning
from services.optimizer.domain.packing.aims import Aims
from services.optimizer.domain.packing.classes import CPU, Bools, Floats, Ints, PodClass, holding, rows
from services.optimizer.domain.packing.demand import Demand, Level, Load, Spread, Supply
from services.optimizer.domain.packing.filling import Filler
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.scene import Scene
from services.optimizer.domain.packing.wishing import Wishes
from services.optimizer.domain.pools import pool_of
from shared.kernel.workload import Pod

ROUNDS = 2
"""Of choosing by numbers: the second is for what the rules refused in the first."""
OUTLOOK_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Style:
    """How roomy new nodes are: kube-scheduler needs room to spread that exact packing does not."""

    headroom_ratio: float = 0.0
    """Share of each new node that is left free."""
    least_millicores: int = 0
    """Smaller nodes are launched only for pods that nothing larger takes."""


TIGHT = Style()


class Launcher:
    """Launches nodes for the pods of a scene that wait."""

    def __init__(
        self,
        scene: Scene,
        grouper: Grouper,
        style: Style,
        *,
        effort: Effort,
        should_stop: Callable[[], bool],
        proofs: Proofs,
    ) -> None:
        self._scene = scene
        self._grouper = grouper
        self._style = style
        self._effort = effort
        self._should_stop = should_stop
        self._proofs = proofs
        self._levels: tuple[Level, ...] = ()
        """Of the classes that wait: how they are to be spread over zones."""
        self.endings: list[Ending] = []
        """How each search for nodes ended."""

    def launch(self) -> None:
        """Launch and place until nothing waits, or nothing more comes of it."""
        for _ in range(ROUNDS):
            before = self._scene.waiting
            if not before or not self._scene.shelf.offers:
                return
            self._settle_zones()
            self._launch_once()
            self._use_new_nodes()
            if self._scene.waiting == before:
                return

    def _settle_zones(self) -> None:
        """Split the classes that wait by zone, where zones matter."""
        scene = self._scene
        live = [
            replace(c, pods=tuple(left)) for c, left in zip(scene.classes, scene.left, strict=True) if left
        ]
        unzoned = [replace(c, zone_id=None) for c in live]
        if not any(zoning.matters(c.sample) for c in unzoned):
            scene.classes, scene.left = live, [list(c.pods) for c in live]
            self._levels = ()
            return
        supply = scene.shelf.supply(scene.columns, self._grouper.rules)
        requests = rows(scene.columns, unzoned)
        allowed = self._allowed(unzoned, requests, supply)
        zone_ids = np.array([n.zone_id or "" for n in scene.shelf.nodes])
        zones = [str(z) for z in np.unique(zone_ids) if z]
        possible = np.stack([allowed[zone_ids == z].any(axis=0) for z in zones], axis=1)
        costs = np.stack(
            [_least_costs(supply, zone_ids == z, allowed, requests, unzoned) for z in zones], axis=1
        )
        kept = scene.kept
        standing = [(p, p.node_name or "") for p in kept.pods]
        standing += [
            (p, name)
            for name in sorted({*scene.onto_kept.values(), *scene.new})
            for p in scene.view.pods_on(name)
            if p.key in scene.onto_kept or name in scene.new
        ]
        nodes = [*kept.nodes, *(node for node, _ in scene.new.values())]
        places = zoning.places(nodes, standing, self._grouper.template)
        namespaces = {n.name: n.labels for n in kept.namespaces}
        liked: Ints | None = None
        held: set[int] = set()
        aimed: tuple[Level, ...] = ()
        if not places and balancing.do_zones_differ(scene.shelf.zones[0], supply):
            spreads = balancing.spreads(unzoned, possible)
            liked = self._outlook(unzoned, requests, spreads)
            counts = np.array([len(c.pods) for c in unzoned], dtype=np.int64)
            aimed = balancing.aimed(spreads, counts, liked)
            held = {c for s in spreads for c in (*s.own, *s.others)}
            for level in aimed:
                # Who keeps others that are counted off his node is better off where there are most of them.
                if level.pile is not None:
                    for c in level.others:
                        if unzoned[c].node_limits:
                            unzoned[c] = replace(unzoned[c], zone_id=zones[level.pile])
            scene.aims = Aims(aimed, unzoned, zones)
        elif scene.aims:
            unzoned, rows_of = self._aimed(unzoned, zones, possible)
            possible, costs = possible[rows_of], costs[rows_of]
            held = {c for c, kind in enumerate(unzoned) if kind.zone_id is not None}
        scene.classes = zoning.settled(unzoned, zones, possible, costs, places, namespaces, held, liked)
        scene.left = [list(c.pods) for c in scene.classes]
        at = {id(kind): c for c, kind in enumerate(scene.classes)}
        number = {c: at[id(unzoned[c])] for c in held} if aimed else {}
        self._levels = tuple(level.renumbered(number) for level in aimed)

    def _aimed(
        self, classes: Sequence[PodClass], zones: Sequence[str], possible: Bools
    ) -> tuple[list[PodClass], list[int]]:
        """Split classes left over by the zones that are behind; give also which one each part is of."""
        aims = self._scene.aims
        found: dict[int, list[PodClass]] = {c: [kind] for c, kind in enumerate(classes)}
        about = [c for c, kind in enumerate(classes) if aims.is_about(kind.sample)]
        # Those that are to be spread first: others go to what is behind then.
        for c in sorted(about, key=lambda c: not aims.is_spread(classes[c].sample)):
            kind, at = classes[c], 0
            given = aims.dealt(kind, possible[c])
            aims = aims.promise(kind, given)
            found[c] = []
            for zone, number in zip(zones, given.tolist(), strict=True):
                if number:
                    found[c].append(replace(kind, pods=kind.pods[at : at + number], zone_id=zone))
                at += number
            if at < len(kind.pods):
                found[c].append(replace(kind, pods=kind.pods[at:]))
        return [part for parts in found.values() for part in parts], [c for c in found for _ in found[c]]

    def _outlook(self, classes: Sequence[PodClass], requests: Ints, spreads: Sequence[Spread]) -> Ints:
        """Give class x zone, in thousandths, how many pods would go there by the relaxation that a bound asks for."""
        shelf = self._scene.shelf
        supply = shelf.supply(self._scene.columns, self._grouper.rules)
        allowed = grouping.allowed_rows(classes, shelf, supply.is_spot, None)
        limits = [c.node_limits for c in classes]
        demand = relaxing.relaxed(classes, requests, allowed, limits, self._grouper.judge)
        if relaxing.few_pools(classes):
            demand = relaxing.capped(demand, classes)
        zone, zones = shelf.zones
        levels = balancing.forced(spreads, demand.counts, len(zones))
        return by_columns.outlook(
            supply,
            replace(demand, zone=zone, levels=levels),
            len(zones),
            effort=replace(self._effort, rounds=min(self._effort.rounds, OUTLOOK_ROUNDS), proves=True),
            should_stop=self._should_stop,
            proofs=self._proofs,
        )

    def _allowed(self, classes: Sequence[PodClass], requests: Ints, supply: Supply) -> Bools:
        allowed = grouping.allowed_rows(classes, self._scene.shelf, supply.is_spot, self._scene.claims)
        allowed &= holding(supply.room, requests)
        return allowed

    def _launch_once(self) -> None:
        scene = self._scene
        classes = scene.classes
        requests = rows(scene.columns, classes)
        supply = scene.shelf.supply(scene.columns, self._grouper.rules)
        allowed = grouping.allowed_rows(classes, scene.shelf, supply.is_spot, scene.claims)
        if self._style.headroom_ratio:
            left_free = (supply.room * self._style.headroom_ratio).astype(np.int64)
            left_free[:, 4:] = 0  # devices are whole: nobody leaves a share of one free
            supply = replace(supply, room=supply.room - left_free)
        workload, names = grouping.workload_index(classes)
        demand = Demand(
            requests=requests,
            counts=np.array([len(left) for left in scene.left], dtype=np.int64),
            allowed=self._large_enough(supply, requests, allowed),
            per_spot_pool=np.array([c.per_spot_pool for c in classes], dtype=np.int64),
            workload=workload,
            node_limits=tuple(c.node_limits for c in classes),
            counted=grouping.counted_by(classes),
            used=self._used(names),
            zone=scene.shelf.zones[0],
            levels=self._levels,
            shares=scene.shares.limits(scene.shelf.nodes, requests[:, CPU]),
            interruption_micro_usd=grouping.interruption_costs(classes, self._grouper.judge),
            preference_micro_usd=Wishes(classes, self._grouper.rules).on(scene.shelf.nodes),
        )
        if supply.copies.size:
            left = [scene.copies_left(row) for row in range(len(supply.copies))]
            supply = replace(supply, copies=np.array(left, dtype=np.int64))
        found = by_columns.loads(
            supply, demand, effort=self._effort, should_stop=self._should_stop, proofs=self._proofs
        )
        self.endings.append(found.ended_by)
        self._realise(found.nodes)

    def _large_enough(self, supply: Supply, requests: Ints, allowed: Bools) -> Bools:
        """Leave small offers to pods that nothing larger takes, where the style asks for it."""
        is_large = supply.room[:, CPU] >= self._style.least_millicores
        if is_large.all():
            return allowed
        finds_large = (allowed & holding(supply.room, requests))[is_large].any(axis=0)
        return allowed & (is_large[:, None] | ~finds_large)

    def _used(self, names: Sequence[str]) -> Ints:
        """Count, by offer and workload, the replicas that stand in the pool already."""
        scene = self._scene
        used = np.zeros((len(scene.shelf.offers), max(len(names), 1)), dtype=np.int64)
        if not names:
            return used
        pools = {offer.pool: i for i, offer in enumerate(scene.shelf.offers)}
        at = {name: i for i, name in enumerate(names)}
        for node_name in scene.view.node_names:
            pool = pool_of(scene.view.node(node_name), self._grouper.template)
            if pool not in pools:
                continue
            for pod in scene.view.pods_on(node_name):
                if pod.owner is not None:
                    name = grouping.workload_name(pod)
                    if name in at:
                        used[pools[pool], at[name]] += 1
        return used

    def _realise(self, loads: Sequence[Load]) -> None:
        scene = self._scene
        at = [0] * len(scene.classes)
        wanted: list[_Seat] = []
        for load in loads:
            name = scene.launch(load.offer)
            for c in np.flatnonzero(load.counts).tolist():
                number = int(load.counts[c])
                pods = scene.left[c][at[c] : at[c] + number]
                at[c] += number
                if scene.classes[c].is_free:
                    for pod in pods:
                        scene.put(pod, name)
                else:
                    wanted += [_Seat(pod, name, c, i) for i, pod in enumerate(pods, start=at[c] - number)]
        refused = self._seated(wanted)
        for c, left in enumerate(scene.left):
            scene.left[c] = [*refused.get(c, ()), *left[at[c] :]]

    def _seated(self, wanted: Sequence["_Seat"]) -> dict[int, list[Pod]]:
        """Place pods that rules between pods are about, each where it is meant to go; give those refused."""
        scene = self._scene
        # Those that hold no rule first, since rules count them. A pod of each class in turn: what has to be in
        # balance grows together.
        classes = scene.classes
        waiting = sorted(
            wanted, key=lambda s: (grouping.has_own_rules(classes[s.at].sample), s.turn, s.at, s.pod.key)
        )
        progress = True
        while waiting and progress:
            rest = []
            for seat in waiting:
                if scene.view.fits(seat.pod, seat.node):
                    scene.put(seat.pod, seat.node)
                else:
                    rest.append(seat)
            progress, waiting = len(rest) < len(waiting), rest
        refused: dict[int, list[Pod]] = {}
        for seat in waiting:
            refused.setdefault(seat.at, []).append(seat.pod)
        return refused

    def place_the_rest(self) -> None:
        """Place one by one what numbers could not: on any new node, else on the cheapest one that takes it.

        What finds no place within the limits of pools and zones is placed beyond them, as few of them as will do: to
        run is worth more.
        """
        self._place_singly()
        if self._scene.waiting and self._scene.aims:
            self._scene.aims = Aims()
            self._place_singly()
        for kinds in self._scene.liftings():
            if not self._scene.waiting:
                break
            self._scene.lift(kinds)
            self._place_singly()

    def _place_singly(self) -> None:
        scene = self._scene
        filler = self._filler()
        progress = True
        while progress and scene.waiting:
            # A pod that must be near another may have to wait for it.
            before = scene.waiting
            for at, kind in enumerate(scene.classes):
                left = scene.left[at]
                while left:
                    left = filler.place(kind, left, scene.put)
                    name = self._launch_for(replace(kind, zone_id=None), left[0]) if left else None
                    if name is None:
                        break
                    filler.add(scene.new[name][0])
                    left = left[1:]
                scene.left[at] = left
            progress = scene.waiting < before

    def _use_new_nodes(self) -> None:
        """Place what the rules refused where there is room on other new nodes."""
        scene = self._scene
        if scene.waiting:
            filler = self._filler()
            for at, kind in enumerate(scene.classes):
                scene.left[at] = filler.place(kind, scene.left[at], scene.put)

    def _filler(self) -> Filler:
        return Filler(self._scene, [node for node, _ in self._scene.new.values()], is_new=True)

    def _launch_for(self, kind: PodClass, pod: Pod) -> str | None:
        scene = self._scene
        request = np.array(scene.columns.of_pod(pod), dtype=np.int64)
        supply = scene.shelf.supply(scene.columns, self._grouper.rules)
        allowed = grouping.allowed_rows([kind], scene.shelf, supply.is_spot, scene.claims)[:, 0]
        tried: set[str] = set()
        for row in np.flatnonzero(allowed & (supply.room >= request).all(axis=1)).tolist():
            zone = scene.shelf.offers[row].pool.zone_id
            if scene.pool_room(kind, scene.shelf.nodes[row]) <= 0 or scene.copies_left(row) <= 0:
                continue
            if zone in tried:
                continue  # another type of the same zone would be refused for the same reason
            tried.add(zone)
            name = scene.launch(row)
            if scene.view.fits(pod, name):
                scene.put(pod, name)
                return name
            scene.withdraw(name)
        return None


@dataclass(frozen=True, slots=True)
class _Seat:
    """Where a pod is meant to go."""

    pod: Pod
    node: str
    at: int
    """Of its class."""
    turn: int
    """How many of the class come before it."""


def _least_costs(
    supply: Supply, here: Bools, allowed: Bools, requests: Ints, classes: Sequence[PodClass]
) -> Floats:
    """Give roughly what each class costs on the offers `here`: the least price of the share that a pod takes."""
    room = np.maximum(supply.room[here], 1).astype(np.float64)
    prices = supply.micro_usd[here]
    # Most classes differ in nothing that matters here.
    known: dict[tuple[bytes, bytes], float] = {}
    found = np.zeros(len(classes), dtype=np.float64)
    for c, request in enumerate(requests):
        takes = allowed[here, c]
        key = (request.tobytes(), takes.tobytes())
        if key not in known:
            shares = (request / room[takes]).max(axis=1)
            known[key] = float((shares * prices[takes]).min()) if takes.any() else 0.0
        found[c] = known[key] * len(classes[c].pods)
    return found
