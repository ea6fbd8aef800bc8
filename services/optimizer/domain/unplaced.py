"""Why a pod found no node: each rule that excluded it with the number of nodes and offers, in words to act upon."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence

from services.optimizer.domain import selection
from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.drafts import Unplaced
from services.optimizer.domain.forbidden import Forbidden
from services.optimizer.domain.offers import Market
from services.optimizer.domain.packing.grouping import Grouper, needs_devices
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources
from shared.kernel.scheduling import ClusterView, shape_key, static_reasons
from shared.kernel.scheduling.shapes import place_key
from shared.kernel.workload import ClusterObjects, Node, Pod

MIB = 1024**2
GIB = 1024**3
MOST_KINDS_ON_NODES = 100
"""Kinds of pods for whom all standing nodes are asked one by one; the rest is told about offers only."""


def explain_all(
    pods: tuple[Pod, ...],
    *,
    shelf: Shelf,
    market: Market,
    grouper: Grouper,
    state: ClusterObjects,
    launched: Collection[str],
) -> tuple[Unplaced, ...]:
    """Explain each, in their order; pods that ask for the same are looked at once.

    Args:
        pods: that are without a node.
        shelf: the offers.
        market: the same and those that the rules forbid.
        grouper: tells pods apart.
        state: the cluster as the plan leaves it.
        launched: names of its nodes that the plan launches.
    """
    if not pods:
        return ()
    explainer = _Explainer(shelf, market, grouper, state, launched)
    known: dict[Hashable, tuple[str, ...]] = {}
    found: list[Unplaced] = []
    for pod in pods:
        key = (shape_key(pod), pod.owner)
        if key not in known:
            known[key] = explainer.reasons(pod, with_nodes=len(known) < MOST_KINDS_ON_NODES)
        found.append(Unplaced(pod.key, known[key]))
    return tuple(found)


class _Explainer:
    """What one plan was made from, looked at for one pod after the other."""

    def __init__(
        self,
        shelf: Shelf,
        market: Market,
        grouper: Grouper,
        state: ClusterObjects,
        launched: Collection[str],
    ) -> None:
        self._shelf = shelf
        self._market = market
        self._grouper = grouper
        self._nodes = state.nodes
        self._for_devices = {n.name for n in state.nodes if n.name in launched and n.allocatable.extended}
        self._view = ClusterView.of(state)
        self._room = [_left(shelf, at) for at in range(len(shelf.offers))]
        # Offers of one type leave the same room in every zone: what is asked of rooms is asked once a type.
        self._rows_by_room: dict[Hashable, list[int]] = {}
        self._room_of: list[int] = []
        for at, room in enumerate(self._room):
            rows = self._rows_by_room.setdefault(_exact(room), [])
            rows.append(at)
            self._room_of.append(rows[0])
        self._refused: dict[Hashable, tuple[str | None, ...]] = {}
        self._forbidden = Forbidden(
            market=market,
            rules=grouper.rules,
            template=grouper.template,
            daemon_sets=daemon_sets(state),
        )

    def reasons(self, pod: Pod, *, with_nodes: bool) -> tuple[str, ...]:
        """Give the reasons, the most general first."""
        return (*self._of_offers(pod), *(self._of_nodes(pod) if with_nodes else ()))

    def _of_offers(self, pod: Pod) -> list[str]:
        rules, template, shelf = self._grouper.rules, self._grouper.template, self._shelf
        found: list[str] = []
        usable = list(range(len(shelf.offers)))
        tolerance = self._grouper.judge.refusal(pod)
        if tolerance is not None and rules.strategy is not Strategy.ON_DEMAND:
            spot = [i for i in usable if shelf.offers[i].is_spot]
            usable = [i for i in usable if not shelf.offers[i].is_spot]
            if spot and not usable:
                found.append(f"it may not run on spot, since {tolerance}, and nothing else is allowed")
        if not usable:
            return found + _no_offer(self._market, rules, template)
        among = set(usable)
        largest, fitting = Resources(), set[int]()
        for rows in self._rows_by_room.values():
            if among.isdisjoint(rows):
                continue
            room = self._room[rows[0]]
            largest = largest.at_least(room)
            if pod.requests.fits_in(room):
                fitting.update(rows)
        fitting &= among
        too_large = _too_large(pod.requests, largest, template.disk_bytes)
        found += too_large
        if not fitting and not too_large:
            found.append("no allowed instance type has enough of everything it asks for at once")
        refused = self._refused_by_rules(pod)
        if all(refused[at] is not None for at in fitting):
            found += self._forbidden.hints(
                pod, may_use_spot=tolerance is None, reasons_against=self._reasons_against
            )
        return found + self._counted(pod, usable, fitting)

    def _counted(self, pod: Pod, usable: Sequence[int], fitting: set[int]) -> list[str]:
        """Count the offers by the first rule against them."""
        refused = self._refused_by_rules(pod)
        counts: Counter[str] = Counter()
        short: Counter[int] = Counter()
        open_rows: list[int] = []
        for at in usable:
            why = refused[at]
            if why is not None:
                counts[why] += 1
            elif at not in fitting:
                short[self._room_of[at]] += 1
            elif self._shelf.nodes[at].allocatable.extended and not needs_devices(pod.requests):
                counts["kept for pods that ask for devices"] += 1
            else:
                open_rows.append(at)
        for first, number in short.items():
            counts[_short_of(pod.requests, self._room[first])] += number
        by_zone: dict[str, list[int]] = {}
        for at in open_rows:
            by_zone.setdefault(self._shelf.offers[at].pool.zone_id, []).append(at)
        left = 0
        for zone in sorted(by_zone):
            against = self._others_against(pod, by_zone[zone][0])
            if against:
                counts.update(dict.fromkeys(against, len(by_zone[zone])))
            else:
                left += len(by_zone[zone])
        total = len(usable)
        found = [f"{number} of {total} offers: {why}" for why, number in _by_number(counts)]
        if left:
            found.append(f"{left} of {total} offers: a limit of the policy, such as the share of one pool")
        return found

    def _refused_by_rules(self, pod: Pod) -> tuple[str | None, ...]:
        key = place_key(pod)
        if key not in self._refused:
            nodes = self._shelf.nodes
            self._refused[key] = tuple(next(iter(static_reasons(pod, node)), None) for node in nodes)
        return self._refused[key]

    def _others_against(self, pod: Pod, at: int) -> tuple[str, ...]:
        """Say what other pods and volumes have against an offer; all of one zone are alike in that."""
        name = f"candidate-in-{self._shelf.offers[at].pool.zone_id}"
        node = self._shelf.node(at, name)
        return self._reasons_against(pod, node, self._shelf.daemons_on(at, node))

    def _reasons_against(self, pod: Pod, node: Node, daemons: Iterable[Pod]) -> tuple[str, ...]:
        self._view.add_node(node)
        for daemon in daemons:
            self._view.place(daemon, node.name)
        reasons = self._view.reasons_against(pod, node.name)
        self._view.remove_node(node.name)
        return reasons

    def _of_nodes(self, pod: Pod) -> list[str]:
        """Count the nodes that stand by every rule against them."""
        counts: Counter[str] = Counter()
        may_use_spot = self._grouper.judge.refusal(pod) is None
        for node in self._nodes:
            reasons = list(self._view.reasons_against(pod, node.name))
            if node.capacity_type is CapacityType.SPOT and not may_use_spot:
                reasons.append("it may not run on spot")
            if node.name in self._for_devices and not needs_devices(pod.requests):
                reasons.append("kept for pods that ask for devices")
            counts.update(reasons)
        return [f"{number} of {len(self._nodes)} nodes: {why}" for why, number in _by_number(counts)]


def _by_number(counts: Counter[str]) -> Iterable[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _left(shelf: Shelf, at: int) -> Resources:
    free = shelf.nodes[at].allocatable
    for daemon in shelf.daemons[at]:
        free = free - daemon.requests
    return free


def _short_of(asked: Resources, room: Resources) -> str:
    short = [
        name
        for name, wanted, has in (
            ("cpu", asked.cpu_millicores, room.cpu_millicores),
            ("memory", asked.memory_bytes, room.memory_bytes),
            ("ephemeral-storage", asked.ephemeral_storage_bytes, room.ephemeral_storage_bytes),
            *((name, n, room.extended.get(name, 0)) for name, n in sorted(asked.extended.items())),
        )
        if wanted > max(has, 0)
    ]
    return f"Insufficient {', '.join(short)}"


def _too_large(asked: Resources, largest: Resources, disk_bytes: int) -> list[str]:
    """Say which amounts no allowed type has; disks are the template's, whatever the type."""
    found = []
    larger = "larger than any allowed instance type: needs"
    if asked.cpu_millicores > largest.cpu_millicores:
        found.append(
            f"{larger} {asked.cpu_millicores / 1000:g} vCPU, the largest has {largest.cpu_millicores / 1000:g}"
        )
    if asked.memory_bytes > largest.memory_bytes:
        found.append(
            f"{larger} {asked.memory_bytes / GIB:.4g} GiB of memory, the largest has"
            f" {largest.memory_bytes / GIB:.4g}"
        )
    if asked.ephemeral_storage_bytes > largest.ephemeral_storage_bytes:
        found.append(
            f"needs {asked.ephemeral_storage_bytes / GIB:.4g} GiB of ephemeral storage: new nodes have a disk of"
            f" {disk_bytes / GIB:.4g} GiB, of which {largest.ephemeral_storage_bytes / GIB:.4g} are for pods"
        )
    for name, amount in sorted(asked.extended.items()):
        has = largest.extended.get(name, 0)
        if amount > has > 0:
            found.append(f"{larger} {_amount(name, amount)}, the largest has {_amount(name, has)}")
        elif amount > has:
            found.append(f"needs {_amount(name, amount)}, and no allowed instance type has any")
    return found


def _amount(name: str, number: int) -> str:
    # Of extended resources only huge pages are told in bytes; all others are things to count.
    return f"{number / MIB:.4g} MiB of {name}" if name.startswith("hugepages-") else f"{number} {name}"


def _no_offer(market: Market, rules: PlanRules, template: Template) -> list[str]:
    found = selection.narrowing(market, rules, template)
    if not found.known:
        return ["no prices are known, so nothing can be launched"]
    return [
        f"no offer is allowed: of {found.known}, {why}" for why in found.sentences(selection.MOST_REFUSALS)
    ] or ["no offer is allowed"]


def _exact(room: Resources) -> Hashable:
    amounts = (room.cpu_millicores, room.memory_bytes, room.ephemeral_storage_bytes)
    return (*amounts, frozenset(room.extended.items()))
