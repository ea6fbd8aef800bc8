"""Carry a plan out as the executor and kube-scheduler would: nobody follows the plan's own placement.

Pods that are evicted come back under new names and in any order; each goes to the least allocated node that
takes it. A move whose pods would not all find room is left out, with what it launched.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.executor.domain.guardrails import without_room
from services.optimizer.domain.drafts import MoveDraft, PlanDraft
from shared.kernel.scheduling import ClusterView, daemon_pods_for
from shared.kernel.workload import ClusterObjects, Node, Pod, PodPhase


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    objects: ClusterObjects
    launched: int
    drained: int
    refused: tuple[str, ...]
    """Why moves were left out."""
    homeless: tuple[str, ...]
    """Pods that run nowhere in the end."""


def carry_out(objects: ClusterObjects, draft: PlanDraft, *, seed: int, ahead: bool = False) -> Outcome:
    """Do the moves in order; `ahead`: every launch is Ready before the first drain."""
    return _Cluster(objects, draft, random.Random(seed)).run(ahead=ahead)


class _Cluster:
    def __init__(self, objects: ClusterObjects, draft: PlanDraft, rng: random.Random) -> None:
        self._objects = objects
        self._draft = draft
        self._rng = rng
        self._view = ClusterView.of(objects)
        self._nodes = {n.name: n for n in objects.nodes}
        self._new = {n.node.name: n.node for n in draft.nodes if n.existing is None}
        self._cordoned = {n.name for n in objects.nodes if n.is_unschedulable or not n.is_ready}
        self._waiting = [p for p in objects.pods if p.node_name is None and not p.is_finished]
        self._launched = 0
        self._drained = 0
        self._refused: list[str] = []

    def run(self, *, ahead: bool) -> Outcome:
        if ahead:
            for move in self._draft.moves:
                self._launch(move)
        for move in self._draft.moves:
            if not ahead:
                self._launch(move)
            self._schedule()
            if move.drains:
                self._drain(move)
        return Outcome(
            self._as_objects(),
            self._launched,
            self._drained,
            tuple(self._refused),
            tuple(p.key for p in self._waiting),
        )

    def _launch(self, move: MoveDraft) -> None:
        for launch in move.launches:
            node = replace(self._new[launch.id], instance_id=f"i-{launch.id}")
            self._nodes[node.name] = node
            self._view.add_node(node)
            for pod in daemon_pods_for(node, self._objects.workloads):
                self._view.place(pod, node.name)
            self._launched += 1

    def _drain(self, move: MoveDraft) -> None:
        meant = {pod: launch.id for m in self._draft.moves for launch in m.launches for pod in launch.pods}
        meant = {pod: name for pod, name in meant.items() if name in self._nodes}
        reason = without_room(self._as_objects(), move.drains, meant_for=meant)
        if reason is not None:
            self._refused.append(f"{move.id}: {reason}")
            for launch in move.launches:
                if all(p.is_daemon for p in self._view.pods_on(launch.id)):
                    self._remove(launch.id)
                    self._launched -= 1
            return
        self._cordoned.update(move.drains)
        for name in move.drains:
            evicted = [p for p in self._remove(name) if not p.is_daemon]
            self._rng.shuffle(evicted)
            self._waiting += [
                replace(p, name=f"{p.name[:40]}-{self._rng.randrange(16**6):06x}", node_name=None, uid="")
                for p in evicted
            ]
            self._drained += 1
            self._schedule()

    def _remove(self, name: str) -> Sequence[Pod]:
        del self._nodes[name]
        return self._view.remove_node(name)

    def _schedule(self) -> None:
        progress = True
        while progress and self._waiting:
            left = [p for p in self._waiting if not self._place(p)]
            progress = len(left) < len(self._waiting)
            self._waiting = left

    def _place(self, pod: Pod) -> bool:
        open_nodes = [n for n in self._nodes.values() if n.name not in self._cordoned]
        able = [n for n in open_nodes if self._view.fits(pod, n.name)]
        if not able:
            return False
        best = max(able, key=lambda n: (self._free_share(n, pod), self._rng.random()))
        self._view.place(pod, best.name)
        return True

    def _free_share(self, node: Node, pod: Pod) -> float:
        free, room = self._view.free(node.name), node.allocatable
        cpu = (free.cpu_millicores - pod.requests.cpu_millicores) / max(room.cpu_millicores, 1)
        memory = (free.memory_bytes - pod.requests.memory_bytes) / max(room.memory_bytes, 1)
        return (cpu + memory) / 2

    def _as_objects(self) -> ClusterObjects:
        nodes = tuple(replace(n, is_unschedulable=n.name in self._cordoned) for n in self._nodes.values())
        running = tuple(
            replace(p, node_name=name, phase=PodPhase.RUNNING)
            for name in self._nodes
            for p in self._view.pods_on(name)
        )
        return replace(self._objects, nodes=nodes, pods=(*running, *self._waiting))
