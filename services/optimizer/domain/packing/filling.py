"""Fill the free room of nodes that are there: those that stay, and new ones that have some left."""

from collections.abc import Callable, Sequence

import numpy as np

from services.optimizer.domain.packing.classes import Bools, Ints, PodClass, rows
from services.optimizer.domain.packing.grouping import needs_devices
from services.optimizer.domain.packing.scene import Scene
from shared.kernel.pools import CapacityType
from shared.kernel.workload import Node, Pod


class Filler:
    """Places pods of one class after the other, each on the first of some nodes that takes it."""

    def __init__(self, scene: Scene, nodes: Sequence[Node], *, is_new: bool) -> None:
        self._is_new = is_new
        self._scene = scene
        self._nodes = list(nodes)
        self._free = scene.free([n.name for n in nodes])
        self._is_spot = np.array([n.capacity_type is CapacityType.SPOT for n in nodes], dtype=np.bool_)
        self._has_devices = np.array([bool(n.allocatable.extended) for n in nodes], dtype=np.bool_)

    def add(self, node: Node) -> None:
        """Take in a node that was launched since."""
        self._nodes.append(node)
        self._free = np.concatenate([self._free, self._scene.free([node.name])])
        self._is_spot = np.append(self._is_spot, node.capacity_type is CapacityType.SPOT)
        self._has_devices = np.append(self._has_devices, bool(node.allocatable.extended))

    def place(self, kind: PodClass, pods: Sequence[Pod], put: Callable[[Pod, str], None]) -> list[Pod]:
        """Place as many of the pods, all of the class, as find room; give the others."""
        if not pods or not self._nodes:
            return list(pods)
        request = rows(self._scene.columns, [kind])[0]
        fits = np.where(self._open_to(kind), _fits(self._free, request), 0)
        if kind.is_free:
            return self._place_alike(kind, pods, request, fits, put)
        return self._place_singly(kind, pods, request, fits, put)

    def _open_to(self, kind: PodClass) -> Bools:
        is_open = np.ones(len(self._nodes), dtype=np.bool_)
        if not kind.may_use_spot:
            is_open = ~self._is_spot
        elif kind.needs_spot and self._is_new:
            is_open = self._is_spot
        if self._is_new and not needs_devices(kind.sample.requests):
            # What is bought for its devices is kept for who asks for them; what stays is open to all, as it is to
            # kube-scheduler.
            is_open = is_open & ~self._has_devices
        return is_open

    def _place_alike(
        self, kind: PodClass, pods: Sequence[Pod], request: Ints, fits: Ints, put: Callable[[Pod, str], None]
    ) -> list[Pod]:
        at = 0
        for i in np.flatnonzero(fits).tolist():
            if at == len(pods):
                break
            if not self._scene.view.fits(kind.sample, self._nodes[i].name):
                continue
            taken = min(int(fits[i]), len(pods) - at, self._scene.pool_room(kind, self._nodes[i]))
            if taken <= 0:
                continue
            for pod in pods[at : at + taken]:
                put(pod, self._nodes[i].name)
            self._free[i] -= taken * request
            at += taken
        return list(pods[at:])

    def _place_singly(
        self, kind: PodClass, pods: Sequence[Pod], request: Ints, fits: Ints, put: Callable[[Pod, str], None]
    ) -> list[Pod]:
        scene = self._scene
        by_name = {self._nodes[i].name: i for i in np.flatnonzero(fits).tolist()}
        room = {name: int(fits[i]) for name, i in by_name.items()}
        for at, pod in enumerate(pods):
            open_now = (name for name in room if scene.pool_room(kind, self._nodes[by_name[name]]) > 0)
            name = scene.view.first_fit(pod, open_now)
            if name is None:
                # Pods of a class are alike: where one finds nothing the next will not, either.
                return list(pods[at:])
            put(pod, name)
            self._free[by_name[name]] -= request
            room[name] -= 1
            if not room[name]:
                del room[name]
        return []


def _fits(free: Ints, request: Ints) -> Ints:
    asked = np.flatnonzero(request)
    found: Ints = (free[:, asked] // request[asked]).min(axis=1)
    return found


def use_kept_nodes(scene: Scene) -> None:
    """Fill the free room of nodes that stay, the fullest first."""
    nodes = _fullest_first(scene)
    if not nodes:
        return
    filler = Filler(scene, nodes, is_new=False)
    for at, kind in enumerate(scene.classes):
        scene.left[at] = filler.place(kind, scene.left[at], scene.put_onto_kept)


def use_kept_nodes_again(scene: Scene) -> None:
    """Give up new nodes whose pods all find room now on nodes of their zone that stay.

    What is launched in one zone may be what spreading lacked for a pod in another; within its zone, a pod is as well
    spread on any node.
    """
    kinds = {p.key: kind for kind in scene.classes for p in kind.pods if not kind.is_free}
    kept = _fullest_first(scene) if kinds and not scene.aims else []
    for name in sorted(scene.new, key=lambda n: (-scene.shelf.offers[scene.new[n][1]].micro_usd, n)):
        here = [n for n in kept if n.zone_id == scene.new[name][0].zone_id]
        pods = list(scene.held[name])
        # What no rule is about had its turn before.
        if not here or not pods or not all(p.key in kinds for p in pods):
            continue
        filler = Filler(scene, here, is_new=False)
        for pod in pods:
            scene.take_back(pod, name)
            if filler.place(kinds[pod.key], [pod], scene.put_onto_kept):
                scene.put(pod, name)
                for other in (p for p in pods if p.key in scene.onto_kept):
                    scene.take_back_from_kept(other, scene.onto_kept[other.key])
                    scene.put(other, name)
                break
        if not scene.held[name]:
            scene.withdraw(name)


def _fullest_first(scene: Scene) -> list[Node]:
    nodes = [n for n in scene.kept.nodes if n.is_ready and not n.is_unschedulable]
    free = scene.free([n.name for n in nodes])
    order = sorted(range(len(nodes)), key=lambda i: (tuple(free[i][:2].tolist()), nodes[i].name))
    return [nodes[i] for i in order]
