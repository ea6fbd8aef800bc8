"""What no fleet can undercut.

At prices per core, byte and pod slot at which no offer is worth more than it costs, all pods together are
worth a sum that any fleet holding them must cost. Only fleets without devices are bounded: what a device is
worth is not proven.
"""

import numpy as np

from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.offers import usd
from services.optimizer.domain.packing.classes import columns_for
from services.optimizer.domain.packing.resource_prices import resource_prices
from services.optimizer.domain.packing.shelf import Shelf, room_of

SAFETY = 1 - 1e-9
"""For what rounding may add."""


def lower_bound(after: FleetState, start: FleetState, shelf: Shelf) -> float | None:
    """Give a proven lower bound of the objective, in USD an hour; None when none is proven.

    A fleet may be made of the nodes there are at the start, whatever the rules say of their types, and of offers.
    """
    pods = [p for n in after.nodes for p in n.movable]
    columns = columns_for(pods)
    if not pods or columns.extended or any(n.offer is None for n in start.nodes):
        return None
    stay = start.nodes
    daemons = [[p for p in n.pods if p.is_daemon or p.is_mirror] for n in stay]
    nodes = [*zip(shelf.nodes, shelf.daemons, strict=True)]
    room = room_of(columns, [*nodes, *((n.node, tuple(d)) for n, d in zip(stay, daemons, strict=True))])
    # A node may hold more than it should (its kubelet was restarted with less): then that is its room.
    for at, node in enumerate(stay, start=len(nodes)):
        held = np.array([columns.of_pod(p) for p in node.movable], dtype=np.int64)
        room[at] = np.maximum(room[at], held.sum(axis=0) if len(held) else 0)
    prices = np.array([*(o.micro_usd for o in shelf.offers), *(n.micro_usd for n in stay)], dtype=np.int64)
    demand = np.array([columns.of_pod(p) for p in pods], dtype=np.int64).sum(axis=0)
    worth = resource_prices(room, prices, demand)
    return max(usd(int(float(demand @ worth) * SAFETY)), 0.0)
