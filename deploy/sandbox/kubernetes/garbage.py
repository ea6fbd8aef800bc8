"""What disappears because something else did: children of a deleted owner, contents of a namespace, pods of a node."""

from collections import deque

from deploy.sandbox.kubernetes.index import Index
from deploy.sandbox.kubernetes.kinds import KINDS, NAMESPACE, NODE, POD, Kind
from deploy.sandbox.kubernetes.store import Change, Key, Store, key_of
from deploy.sandbox.kubernetes.writes import Writes


class GarbageCollector:
    """Deletes in the background, as the real one does."""

    def __init__(self, *, store: Store, index: Index, writes: Writes) -> None:
        self._store = store
        self._index = index
        self._writes = writes
        self._gone: deque[Change] = deque()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to collect."""
        return not self._gone

    def observe(self, change: Change) -> None:
        """Remember what is gone."""
        if change.type == "DELETED":
            self._gone.append(change)

    def reconcile(self) -> None:
        """Delete whatever hung on it."""
        while self._gone:
            change = self._gone.popleft()
            for kind, key in list(self._index.children.pop(change.object["metadata"]["uid"], ())):
                self._delete(kind, key)
            if change.kind is NODE:
                for key in list(self._index.by_node.get(change.object["metadata"]["name"], {})):
                    self._store.remove(POD, *key)
            elif change.kind is NAMESPACE:
                for kind in KINDS:
                    if kind.namespaced:
                        for obj in self._store.select(kind, change.object["metadata"]["name"]):
                            self._delete(kind, key_of(obj))

    def _delete(self, kind: Kind, key: Key) -> None:
        child = self._store.find(kind, *key)
        if child is None:
            return
        if kind is POD:
            self._writes.end_pod(child)
        else:
            self._store.remove(kind, *key)
