"""Pack pods: into the room of nodes that stay first, then onto new ones.

Numbers choose the nodes, since they are fast; the scheduler's own rules (ClusterView) have the last word on
every single pod. What the numbers promised and the rules refuse is placed one by one in the end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from services.optimizer.domain.columns.problem import Effort, Ending
from services.optimizer.domain.columns.proofs import Proofs
from services.optimizer.domain.columns.solve import never
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.packing.classes import Columns, PodClass, columns_for
from services.optimizer.domain.packing.filling import use_kept_nodes, use_kept_nodes_again
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.launching import TIGHT, Launcher, Style
from services.optimizer.domain.packing.scene import Scene
from services.optimizer.domain.packing.shelf import Shelf
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod

__all__ = ["LOOKING", "THOROUGH", "TIGHT", "PackedNode", "Packer", "Packing", "Style"]

LOOKING = Effort(rounds=40, improvements=0, proves=False)
"""To compare many fleets of which most are thrown away."""
THOROUGH = Effort(proves=False)
"""For a fleet that is proposed as it is."""


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
    ended_by: Ending = Ending.CONVERGED
    """Why the search for nodes to launch ended."""

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
    should_stop: Callable[[], bool] = never
    """Asked often; from then on whatever comes first is taken."""
    effort: Effort = LOOKING
    proofs: Proofs = field(default_factory=Proofs)
    """What was found out about the problems that came up."""
    _bare: dict[tuple[int, int], tuple[ClusterObjects, ClusterView]] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )
    """By identity of volumes and namespaces, which are kept for that: a view that knows the pods of all packings."""

    def pack(
        self,
        pods: Iterable[Pod],
        kept: ClusterObjects,
        *,
        prefix: str,
        style: Style = TIGHT,
    ) -> Packing:
        """Place `pods` beside the cluster that stays; new nodes are named by `prefix` and a number."""
        scene = self._scene(pods, kept, prefix)
        use_kept_nodes(scene)
        launcher = Launcher(
            scene,
            self.grouper,
            style,
            effort=self.effort,
            should_stop=self.should_stop,
            proofs=self.proofs,
        )
        launcher.launch()
        launcher.place_the_rest()
        use_kept_nodes_again(scene)
        return _result(scene, launcher.endings)

    def names(self, prefix: str, *, taken: Iterable[str]) -> Iterator[str]:
        """Give names for new nodes, one after the other."""
        avoided = self.taken | frozenset(taken)
        return (name for number in count(1) if (name := f"{prefix}{number:04d}") not in avoided)

    def squeeze(self, pods: Iterable[Pod], kept: ClusterObjects) -> Packing:
        """Place `pods` on the nodes that stay, without any launch."""
        scene = self._scene(pods, kept, "")
        use_kept_nodes(scene)
        return _result(scene, ())

    def _scene(self, pods: Iterable[Pod], kept: ClusterObjects, prefix: str) -> Scene:
        classes = self.grouper.classes(pods)
        columns = columns_for(p for c in classes for p in c.pods)
        names = self.names(prefix, taken=(n.name for n in kept.nodes))
        rules, like = self.grouper.rules, self._like(kept)
        return Scene(self.shelf, kept, _by_size(classes, columns), columns, names, rules, like=like)

    def _like(self, kept: ClusterObjects) -> ClusterView:
        key = (id(kept.volumes), id(kept.namespaces))
        if key not in self._bare:
            bare = replace(kept, nodes=(), pods=())
            self._bare[key] = bare, ClusterView.of(bare)
        return self._bare[key][1]


def _result(scene: Scene, endings: Sequence[Ending]) -> Packing:
    """Give what came of it; a node that holds nothing is not launched."""
    new = [
        PackedNode(node, row, scene.shelf.offers[row], tuple(sorted(scene.held[name], key=lambda p: p.key)))
        for name, (node, row) in scene.new.items()
        if scene.held[name]
    ]
    left = sorted((p for pods in scene.left for p in pods), key=lambda p: p.key)
    return Packing(tuple(new), scene.onto_kept, tuple(left), worst(endings))


def worst(endings: Iterable[Ending]) -> Ending:
    """Give what several searches ended by together: told to stop, out of budget, else converged."""
    found = set(endings)
    return next((e for e in (Ending.STOPPED, Ending.BUDGET) if e in found), Ending.CONVERGED)


def _by_size(classes: Sequence[PodClass], columns: Columns) -> list[PodClass]:
    def weight(kind: PodClass) -> tuple[float, str]:
        row = columns.of_pod(kind.sample)
        return (-(row[0] * 7.2 * 1024**3 / 1000 + row[1]) - sum(row[4:]) * 1e15, kind.sample.key)

    return sorted(classes, key=weight)
