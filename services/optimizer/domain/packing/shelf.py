"""Every offer that may be launched, as the node it would become."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from services.optimizer.domain import interruption_cost, selection
from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.commitments import LimitedOffer
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.packing.classes import UNLIMITED, Bools, Columns, Ints
from services.optimizer.domain.packing.demand import Supply
from services.optimizer.domain.rules import PlanRules, Template
from shared.kernel.scheduling import daemon_pods_for
from shared.kernel.workload import Node, Pod, Workload

CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Offers in order of price, each with its node and the daemons that will run on it."""

    offers: tuple[Offer, ...]
    nodes: tuple[Node, ...]
    daemons: tuple[tuple[Pod, ...], ...]
    copies: tuple[int | None, ...]
    """How many nodes there may be of each offer: reservations that are left; None: any number."""
    # One plan packs dozens of times from the same shelf: what does not change is worked out once.
    _supplies: dict[Columns, Supply] = field(default_factory=dict, compare=False, repr=False)
    _permitted: dict[Hashable, Bools] = field(default_factory=dict, compare=False, repr=False)
    _rows: dict[Offer, int] = field(init=False, default_factory=dict, compare=False, repr=False)

    def with_limited(self, limited: Iterable[LimitedOffer]) -> "Shelf":
        """Give the shelf with more offers of pools that are on it, each for so many nodes."""
        row = {o.pool: i for i, o in enumerate(self.offers)}
        added = [(x, row[x.offer.pool]) for x in limited]
        if not added:
            return self
        return Shelf(
            (*(x.offer for x, _ in added), *self.offers),
            (*(self.nodes[i] for _, i in added), *self.nodes),
            (*(self.daemons[i] for _, i in added), *self.daemons),
            (*(x.copies for x, _ in added), *self.copies),
        )

    def repriced(self, offers: Iterable[Offer]) -> "Shelf":
        """Give the shelf with other prices, row by row."""
        return replace(self, offers=tuple(offers), _supplies={})

    @property
    def zones(self) -> tuple[Ints, tuple[str, ...]]:
        """Give the number of each offer's zone, and the ids of the zones in order."""
        ids = [offer.pool.zone_id for offer in self.offers]
        names = tuple(sorted(set(ids)))
        at = {zone: z for z, zone in enumerate(names)}
        return np.array([at[zone] for zone in ids], dtype=np.int64), names

    def node(self, at: int, name: str) -> Node:
        """Give the node of an offer under a name of its own."""
        node = self.nodes[at]
        return replace(node, name=name, labels={**node.labels, "kubernetes.io/hostname": name})

    def daemons_on(self, at: int, node: Node) -> list[Pod]:
        """Give the daemons' pods as they will stand on the node."""
        return [
            replace(pod, name=f"{pod.name.removesuffix(CANDIDATE)}{node.name}", node_name=node.name)
            for pod in self.daemons[at]
        ]

    def supply(self, columns: Columns, rules: PlanRules) -> Supply:
        """Give the numbers of all offers; asked with one set of rules only."""
        if columns not in self._supplies:
            chance = [interruption_cost.weighted_chance(o, rules) for o in self.offers]
            self._supplies[columns] = Supply(
                room=room_of(columns, zip(self.nodes, self.daemons, strict=True)),
                micro_usd=np.array([o.micro_usd for o in self.offers], dtype=np.int64),
                chance=np.array(chance, dtype=np.float64),
                is_spot=np.array([o.is_spot for o in self.offers], dtype=np.bool_),
                copies=self._copies(),
            )
        return self._supplies[columns]

    def _copies(self) -> Ints:
        """Give the copies as the packing takes them; empty where nothing is limited."""
        if all(c is None for c in self.copies):
            return np.zeros(0, dtype=np.int64)
        return np.array([UNLIMITED if c is None else c for c in self.copies], dtype=np.int64)

    def permitted(self, key: Hashable, permits: Callable[[Node], bool]) -> Bools:
        """Say for each offer's node whether it is permitted; `key` names all that `permits` looks at."""
        if key not in self._permitted:
            self._permitted[key] = np.array([permits(n) for n in self.nodes], dtype=np.bool_)
        return self._permitted[key]

    def row(self, offer: Offer) -> int:
        """Give the row of an offer; of equal ones the first.

        Raises:
            ValueError: it is not on this shelf.
        """
        if not self._rows:
            self._rows.update({o: row for row, o in reversed(list(enumerate(self.offers)))})
        if offer not in self._rows:
            raise ValueError(f"{offer.pool} is not on this shelf at {offer.usd_per_hour} USD/h")
        return self._rows[offer]

    def node_like(self, offer: Offer) -> Node:
        """Give the node that an offer would become, at whatever price its pool is on the shelf.

        Raises:
            ValueError: its pool is not on this shelf.
        """
        found = next((n for n, o in zip(self.nodes, self.offers, strict=True) if o.pool == offer.pool), None)
        if found is None:
            raise ValueError(f"{offer.pool} is not on this shelf")
        return found


def room_of(columns: Columns, nodes: Iterable[tuple[Node, Iterable[Pod]]]) -> Ints:
    """Give what is free on each node beside the pods on it."""
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Ints] = {}
    found = []
    for node, pods in nodes:
        own = tuple(columns.of_room(node.allocatable, node.max_pods))
        taken = tuple(map(sum, zip(*(columns.of_pod(p) for p in pods), strict=True)))
        key = (own, taken)
        if key not in known:
            row = np.array(own, dtype=np.int64)
            known[key] = np.maximum(row - np.array(taken, dtype=np.int64) if taken else row, 0)
        found.append(known[key])
    return np.array(found, dtype=np.int64).reshape(len(found), 4 + len(columns.extended))


def build_shelf(
    market: Market,
    rules: PlanRules,
    template: Template,
    daemon_sets: Iterable[Workload],
    *,
    limited: Iterable[LimitedOffer] = (),
) -> Shelf:
    """Describe the node of every offer that the rules allow, `limited` ones too; one without room is left out."""
    sets = tuple(daemon_sets)
    offers, nodes, daemons, copies = [], [], [], []
    few: list[tuple[Offer, int | None]] = [
        (x.offer, x.copies)
        for x in limited
        if selection.refusal(x.offer, market.instance_types.get(x.offer.pool.instance_type), rules, template)
        is None
    ]
    for offer, number in [*few, *((o, None) for o in selection.allowed(market, rules, template))]:
        instance_type = market.instance_types[offer.pool.instance_type]
        architecture = next(a for a in instance_type.architectures if a in rules.architectures)
        node = candidate_node(
            instance_type,
            offer.pool,
            name=CANDIDATE,
            architecture=architecture,
            template=template,
            memory_overhead_ratio=market.memory_corrections.get(instance_type.name),
        )
        if node.allocatable.memory_bytes <= 0 or node.allocatable.cpu_millicores <= 0:
            continue
        offers.append(offer)
        nodes.append(node)
        daemons.append(tuple(daemon_pods_for(node, sets)))
        copies.append(number)
    return Shelf(tuple(offers), tuple(nodes), tuple(daemons), tuple(copies))
