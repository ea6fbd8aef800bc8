"""Pack pods: into the room of nodes that stay first, then onto new ones.

Numbers choose the nodes, since they are fast; the scheduler's own rules (ClusterView) have the last word on
every single pod. What the numbers promised and the rules refuse is placed one by one in the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.offers import Offer
from services.optimizer.domain.packing import fill, grouping, polish
from services.optimizer.domain.packing.classes import (
    CPU,
    Bools,
    Columns,
    Floats,
    Ints,
    PodClass,
    columns_for,
    rows,
)
from services.optimizer.domain.packing.fill import Demand, Load, Supply
from services.optimizer.domain.packing.grouping import Grouper, needs_devices
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.pools import pool_of
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod

KEPT_PER_GROUP = 100
"""Offers worth a look beside those that some pod needs."""
HOLDERS_PER_CLASS = 3
ZONES_PER_SPOT_TYPE = 2


@dataclass(frozen=True, slots=True)
class Style:
    """How roomy new nodes are: kube-scheduler needs room to spread that exact packing does not."""

    headroom_ratio: float = 0.0
    """Share of each new node that is left free."""
    least_millicores: int = 0
    """Smaller nodes are launched only for pods that nothing larger takes."""


TIGHT = Style()


@dataclass(frozen=True, slots=True)
class PackedNode:
    """One node to launch."""

    node: Node
    row: int
    """Of the shelf."""
    offer: Offer
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Packing:
    """Where each pod goes."""

    new: tuple[PackedNode, ...]
    onto_kept: Mapping[str, str]
    """Node name by pod key, for pods that go to nodes that stay."""
    unplaced: tuple[Pod, ...]

    @property
    def micro_usd(self) -> int:
        """Give what the new nodes cost an hour."""
        return sum(n.offer.micro_usd for n in self.new)


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs under one market and one set of rules."""

    shelf: Shelf
    grouper: Grouper
    taken: frozenset[str] = frozenset()
    """Names that no new node may have."""

    def pack(
        self, pods: Iterable[Pod], kept: ClusterObjects, *, prefix: str, style: Style = TIGHT
    ) -> Packing:
        """Place `pods` beside the cluster that stays; new nodes are named by `prefix` and a number."""
        classes = self.grouper.classes(pods)
        attempt = _Attempt(self, classes, kept, prefix, style)
        attempt.use_kept_nodes()
        attempt.launch_by_numbers()
        attempt.place_the_rest()
        return attempt.result()

    def squeeze(self, pods: Iterable[Pod], kept: ClusterObjects) -> Packing:
        """Place `pods` on the nodes that stay, without any launch."""
        attempt = _Attempt(self, self.grouper.classes(pods), kept, "", TIGHT)
        attempt.use_kept_nodes()
        return attempt.result()


class _Attempt:
    """One packing under way: the view of what is placed, and the pods that are not."""

    def __init__(
        self, packer: Packer, classes: Sequence[PodClass], kept: ClusterObjects, prefix: str, style: Style
    ) -> None:
        self._style = style
        self._shelf = packer.shelf
        self._grouper = packer.grouper
        self._kept = kept
        self._prefix = prefix
        self._view = ClusterView.of(kept)
        self._claims = {v.key: v for v in kept.volumes} or None
        everything = [p for c in classes for p in c.pods]
        self._columns: Columns = columns_for(everything)
        self._classes = _by_size(classes, self._columns)
        self._left: dict[int, list[Pod]] = {i: list(c.pods) for i, c in enumerate(self._classes)}
        self._onto_kept: dict[str, str] = {}
        self._taken = {n.name for n in kept.nodes} | packer.taken
        self._new: dict[str, tuple[Node, int]] = {}
        self._held: dict[str, list[Pod]] = {}

    def use_kept_nodes(self) -> None:
        """Fill the free room of nodes that stay, the fullest first."""
        nodes = [n for n in self._kept.nodes if n.is_ready and not n.is_unschedulable]
        if not nodes:
            return
        on = _pods_by_node(self._kept.pods)
        free = {n.name: self._columns.free(n, on.get(n.name, ())) for n in nodes}
        order = sorted(nodes, key=lambda n: (tuple(free[n.name][:2]), n.name))
        requests = rows(self._columns, self._classes)
        for at, kind in enumerate(self._classes):
            waiting = []
            for pod in self._left[at]:
                target = self._kept_node_for(pod, kind, order, free, requests[at])
                if target is None:
                    waiting.append(pod)
                else:
                    self._view.place(pod, target.name)
                    free[target.name] = free[target.name] - requests[at]
                    self._onto_kept[pod.key] = target.name
            self._left[at] = waiting

    def _kept_node_for(
        self, pod: Pod, kind: PodClass, order: Sequence[Node], free: Mapping[str, Ints], request: Ints
    ) -> Node | None:
        for node in order:
            if node.capacity_type is CapacityType.SPOT and not kind.may_use_spot:
                continue
            if bool(node.allocatable.extended) and not needs_devices(pod.requests):
                continue
            if (request <= free[node.name]).all() and self._view.fits(pod, node.name):
                return node
        return None

    def launch_by_numbers(self) -> None:
        """Choose nodes for what is left, and place as many of the pods as the rules let."""
        live = [i for i in self._left if self._left[i]]
        if not live or not self._shelf.offers:
            return
        classes = [self._classes[i] for i in live]
        demand_rows = rows(self._columns, classes)
        counts = np.array([len(self._left[i]) for i in live], dtype=np.int64)
        supply = self._shelf.supply(self._columns, self._grouper.rules)
        allowed = grouping.allowed_rows(classes, self._shelf, supply.is_spot, self._claims)
        if self._style.headroom_ratio:
            left_free = (supply.room * self._style.headroom_ratio).astype(np.int64)
            left_free[:, 4:] = 0  # devices are whole: nobody leaves a share of one free
            supply = replace(supply, room=supply.room - left_free)
        worth = _worth(supply, demand_rows, counts)
        chosen = self._worth_a_look(supply, allowed, demand_rows, worth)
        supply = supply.only(chosen)
        workload, names = grouping.workload_index(classes)
        demand = Demand(
            requests=demand_rows,
            counts=counts,
            allowed=allowed[chosen],
            per_node=np.array([c.per_node for c in classes], dtype=np.int64),
            per_spot_pool=np.array([c.per_spot_pool for c in classes], dtype=np.int64),
            workload=workload,
        )
        used = self._used(chosen, names)
        loads, _ = fill.greedy(supply, demand, worth, used)
        loads = polish.polish(loads, supply, demand, used)
        self._realise(loads, chosen, live)

    def _worth_a_look(self, supply: Supply, allowed: Bools, requests: Ints, worth: Floats) -> list[int]:
        nodes, offers = self._shelf.nodes, self._shelf.offers
        score = np.round(np.minimum(supply.room @ worth / supply.micro_usd, 1e6), 9)
        is_zonal = any(c.zone_id is not None for c in self._classes) or self._depends_on_zone(allowed)
        groups: dict[object, int] = {}
        zones_seen: dict[object, int] = {}
        chosen: set[int] = set()
        is_large = supply.room[:, CPU] >= self._style.least_millicores
        order = np.lexsort((np.arange(len(score)), supply.micro_usd, -score))
        for i in order[is_large[order]].tolist():
            offer = offers[i]
            group: tuple[object, ...] = (
                offer.is_spot,
                tuple(sorted(nodes[i].allocatable.extended)),
                nodes[i].labels["kubernetes.io/arch"],
            )
            if is_zonal:
                group = (*group, offer.pool.zone_id)
            else:
                seen = (offer.pool.instance_type, offer.is_spot)
                zones_seen[seen] = zones_seen.get(seen, 0) + 1
                if zones_seen[seen] > (ZONES_PER_SPOT_TYPE if offer.is_spot else 1):
                    continue
            groups[group] = groups.get(group, 0) + 1
            if groups[group] <= KEPT_PER_GROUP:
                chosen.add(i)
        for c in range(len(requests)):
            for spot in (False, True):
                holds = allowed[:, c] & (supply.room >= requests[c]).all(axis=1) & (supply.is_spot == spot)
                holds = holds & is_large if (holds & is_large).any() else holds
                # The shelf is in order of price: the first that hold it are the cheapest.
                chosen.update(int(i) for i in np.flatnonzero(holds)[:HOLDERS_PER_CLASS])
        return sorted(chosen)

    def _depends_on_zone(self, allowed: Bools) -> bool:
        zones = np.array([n.zone_id or "" for n in self._shelf.nodes])
        spot = np.array([o.is_spot for o in self._shelf.offers])
        for group in (spot, ~spot):
            by_zone = [allowed[group & (zones == z)].any(axis=0) for z in np.unique(zones[group])]
            if any((b != by_zone[0]).any() for b in by_zone[1:]):
                return True
        return False

    def _used(self, chosen: Sequence[int], names: Sequence[str]) -> Ints:
        used = np.zeros((len(chosen), max(len(names), 1)), dtype=np.int64)
        pools = {self._shelf.offers[row].pool: i for i, row in enumerate(chosen)}
        at = {name: i for i, name in enumerate(names)}
        by_name = {n.name: n for n in self._kept.nodes}
        standing = [(p, p.node_name or "") for p in self._kept.pods]
        standing += [
            (p, self._onto_kept[p.key]) for c in self._classes for p in c.pods if p.key in self._onto_kept
        ]
        for pod, node_name in standing:
            if pod.owner is None or node_name not in by_name:
                continue
            name = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"
            pool = pool_of(by_name[node_name], self._grouper.template)
            if name in at and pool in pools:
                used[pools[pool], at[name]] += 1
        return used

    def _realise(self, loads: Sequence[Load], chosen: Sequence[int], live: Sequence[int]) -> None:
        queues = {at: list(self._left[i]) for at, i in enumerate(live)}
        plan: list[tuple[str, list[list[Pod]]]] = []
        for load in loads:
            name = self._launch(chosen[load.offer])
            held = np.flatnonzero(load.counts)
            plan.append((name, [[queues[int(c)].pop(0) for _ in range(int(load.counts[c]))] for c in held]))
        refused = self._place_in_turns(plan)
        refused_keys = {p.key for p in refused}
        for at, i in enumerate(live):
            self._left[i] = queues[at] + [p for p in self._left[i] if p.key in refused_keys]

    def _place_in_turns(self, plan: Sequence[tuple[str, list[list[Pod]]]]) -> list[Pod]:
        # A pod a node in turn, again and again: spreading constraints see all domains grow together.
        waiting = [(name, [p for group in groups for p in group]) for name, groups in plan]
        while True:
            progress, rest = False, []
            for name, pods in waiting:
                tried = []
                placed = False
                for at, pod in enumerate(pods):
                    if self._view.fits(pod, name):
                        self._put(pod, name)
                        tried.extend(pods[at + 1 :])
                        placed = True
                        break
                    tried.append(pod)
                progress = progress or placed
                if tried:
                    rest.append((name, tried))
            waiting = rest
            if not progress:
                return [p for _, pods in waiting for p in pods]

    def place_the_rest(self) -> None:
        """Place one by one what numbers could not: on any new node, else on the cheapest one that takes it."""
        progress = True
        while progress:
            # A pod that must be near another may have to wait for it.
            before = sum(map(len, self._left.values()))
            for at, kind in enumerate(self._classes):
                self._left[at] = [p for p in self._left[at] if not self._place_anywhere(p, kind)]
            progress = 0 < sum(map(len, self._left.values())) < before

    def _place_anywhere(self, pod: Pod, kind: PodClass) -> bool:
        devices = needs_devices(pod.requests)
        for name, (node, row) in self._new.items():
            if not (kind.may_use_spot if self._shelf.offers[row].is_spot else not kind.needs_spot):
                continue
            if bool(node.allocatable.extended) and not devices:
                continue
            if self._view.fits(pod, name):
                self._put(pod, name)
                return True
        request = np.array(self._columns.of_pod(pod), dtype=np.int64)
        supply = self._shelf.supply(self._columns, self._grouper.rules)
        unzoned = replace(kind, zone_id=None)
        allowed = grouping.allowed_rows([unzoned], self._shelf, supply.is_spot, self._claims)[:, 0]
        holds = np.flatnonzero(allowed & (supply.room >= request).all(axis=1))
        tried: dict[str, int] = {}
        for row in (int(i) for i in holds):
            zone = self._shelf.offers[row].pool.zone_id
            tried[zone] = tried.get(zone, 0) + 1
            if tried[zone] > 1:
                continue  # another type of the same zone would be refused for the same reason
            name = self._launch(row)
            if self._view.fits(pod, name):
                self._put(pod, name)
                return True
            self._withdraw(name)
        return False

    def _launch(self, row: int) -> str:
        name = self._fresh_name()
        node = self._shelf.node(row, name)
        self._view.add_node(node)
        for pod in self._shelf.daemons_on(row, node):
            self._view.place(pod, name)
        self._new[name] = (node, row)
        self._held[name] = []
        return name

    def _fresh_name(self) -> str:
        number = len(self._new) + 1
        while (name := f"{self._prefix}{number:04d}") in self._taken:
            number += 1
        self._taken.add(name)
        return name

    def _withdraw(self, name: str) -> None:
        self._view.remove_node(name)
        del self._new[name], self._held[name]
        self._taken.discard(name)

    def _put(self, pod: Pod, name: str) -> None:
        self._view.place(pod, name)
        self._held[name].append(pod)

    def result(self) -> Packing:
        """Give what came of it; a node that holds nothing is not launched."""
        new = [
            PackedNode(
                node, row, self._shelf.offers[row], tuple(sorted(self._held[name], key=lambda p: p.key))
            )
            for name, (node, row) in self._new.items()
            if self._held[name]
        ]
        left = sorted((p for pods in self._left.values() for p in pods), key=lambda p: p.key)
        return Packing(tuple(new), self._onto_kept, tuple(left))


def _worth(supply: Supply, requests: Ints, counts: Ints) -> Floats:
    plain = (supply.room[:, 4:] == 0).all(axis=1)
    base = plain if plain.any() else np.ones(len(plain), dtype=np.bool_)
    total = (requests * counts[:, None]).sum(axis=0)
    worth = fill.resource_prices(supply.room[base], supply.micro_usd[base], total)
    return fill.device_prices(supply.room, supply.micro_usd, worth)


def _by_size(classes: Sequence[PodClass], columns: Columns) -> list[PodClass]:
    def weight(kind: PodClass) -> tuple[float, str]:
        row = columns.of_pod(kind.sample)
        return (-(row[0] * 7.2 * 1024**3 / 1000 + row[1]) - sum(row[4:]) * 1e15, kind.sample.key)

    return sorted(classes, key=weight)


def _pods_by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.node_name and not pod.is_finished:
            found.setdefault(pod.node_name, []).append(pod)
    return found
