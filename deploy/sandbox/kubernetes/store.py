"""Every object of the cluster, with one revision counter and a bounded history that watches read.

A watcher that lags behind the history is told so (410), never left in silence. Stored objects are not changed
in place, so a list page, a watch event and a controller may share them without copying.
"""

import asyncio
import random
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.sandbox.kubernetes.errors import already_exists, conflict, modified, not_found
from deploy.sandbox.kubernetes.kinds import Kind, Object
from deploy.sandbox.kubernetes.timing import Timeline

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as watches and controllers see it."""

    revision: int
    type: ChangeType
    kind: Kind
    object: Object
    previous: Object | None


def key_of(obj: Object) -> Key:
    """Return what the store knows an object by."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


class History:
    """The last changes of one kind."""

    def __init__(self, length: int) -> None:
        self.changes: deque[Change] = deque()
        self.floor = 0
        """The newest revision that is no longer kept: who has seen less has missed something."""
        self.arrived = asyncio.Event()
        self._length = length

    def append(self, change: Change) -> None:
        """Keep a change, forget the oldest, wake the watchers."""
        self.changes.append(change)
        while len(self.changes) > self._length:
            self.floor = self.changes.popleft().revision
        self.wake()

    def wake(self) -> None:
        """Let every watcher look."""
        self.arrived.set()
        self.arrived = asyncio.Event()

    def since(self, revision: int) -> list[Change]:
        """Return what came after `revision`, oldest first."""
        newer: list[Change] = []
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            newer.append(change)
        newer.reverse()
        return newer


class Store:
    """Objects by kind and key."""

    def __init__(self, *, timeline: Timeline, seed: int, history_length: int) -> None:
        self.revision = 1
        self.closed = False
        self.listeners: list[Callable[[Change], None]] = []
        self._timeline = timeline
        self._random = random.Random(seed)
        self._history_length = history_length
        self._objects: dict[Kind, dict[Key, Object]] = {}
        self._histories: dict[Kind, History] = {}
        self._snapshots: OrderedDict[str, tuple[int, list[Object]]] = OrderedDict()

    def history(self, kind: Kind) -> History:
        """Return the changes of one kind."""
        if kind not in self._histories:
            self._histories[kind] = History(self._history_length)
        return self._histories[kind]

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, or none."""
        return self._objects.get(kind, {}).get((namespace, name))

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object.

        Raises:
            ApiError: 404.
        """
        obj = self.find(kind, namespace, name)
        if obj is None:
            raise not_found(kind, name)
        return obj

    def all(self, kind: Kind) -> Iterator[Object]:
        """Iterate over every object of a kind, oldest first."""
        return iter(list(self._objects.get(kind, {}).values()))

    def select(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Return a kind's objects ordered by key, of one namespace or of all."""
        objects = self._objects.get(kind, {})
        return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def new_uid(self) -> str:
        """Return a fresh uid."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_suffix(self, length: int = 5) -> str:
        """Return letters for a generated name."""
        return "".join(self._random.choices("bcdfghjklmnpqrstvwxz2456789", k=length))

    def create(self, kind: Kind, obj: Object) -> Object:
        """Store a new object under its name or a generated one.

        Raises:
            ApiError: 409 when the name is taken.
        """
        metadata = dict(obj.get("metadata") or {})
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.get('generateName', '')}{self.new_suffix()}"
        key = (metadata.get("namespace") or "", metadata["name"])
        if key in self._objects.setdefault(kind, {}):
            raise already_exists(kind, metadata["name"])
        metadata.update(
            uid=self.new_uid(), creationTimestamp=self._timeline.stamp(), resourceVersion=self._next()
        )
        if "spec" in obj:
            metadata["generation"] = 1
        stored = {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        self._objects[kind][key] = stored
        self._publish("ADDED", kind, stored, None)
        return stored

    def replace(self, kind: Kind, obj: Object, *, expected: str | None = None) -> Object:
        """Store a new state of an object that exists; an equal state writes nothing.

        Raises:
            ApiError: 404, or 409 when `expected` or the uid is not the stored one.
        """
        key = key_of(obj)
        old = self.get(kind, *key)
        before = old["metadata"]
        if expected and expected != before["resourceVersion"]:
            raise modified(kind, key[1])
        metadata = dict(obj["metadata"])
        if metadata.get("uid") not in {None, before["uid"]}:
            raise conflict(kind, key[1], "the uid in the precondition does not match")
        for name in ("uid", "creationTimestamp", "resourceVersion", "deletionTimestamp", "generation"):
            if name not in metadata and name in before:
                metadata[name] = before[name]
        metadata["creationTimestamp"] = before["creationTimestamp"]
        metadata["resourceVersion"] = before["resourceVersion"]
        new = {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        if new == old:
            return old
        if new.get("spec") != old.get("spec") and "generation" in before:
            metadata["generation"] = before["generation"] + 1
        metadata["resourceVersion"] = self._next()
        if metadata.get("deletionTimestamp") and before.get("finalizers") and not metadata.get("finalizers"):
            return self._drop(kind, key, new)
        self._objects[kind][key] = new
        self._publish("MODIFIED", kind, new, old)
        return new

    def set_status(self, kind: Kind, obj: Object, **fields: object) -> Object:
        """Store fields of an object's status, on its newest state."""
        return self.replace(kind, {**obj, "status": {**(obj.get("status") or {}), **fields}})

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        """Remove an object at once, or only mark it while finalizers hold it.

        Raises:
            ApiError: 404.
        """
        old = self.get(kind, namespace, name)
        metadata = {**old["metadata"], "resourceVersion": self._next()}
        if metadata.get("finalizers"):
            if metadata.get("deletionTimestamp"):
                return old
            metadata["deletionTimestamp"] = self._timeline.stamp()
            marked = {**old, "metadata": metadata}
            self._objects[kind][namespace, name] = marked
            self._publish("MODIFIED", kind, marked, old)
            return marked
        return self._drop(kind, (namespace, name), {**old, "metadata": metadata})

    def keep_snapshot(self, token: str, revision: int, rest: list[Object]) -> None:
        """Remember the rest of a paged list; the oldest of many is forgotten."""
        self._snapshots[token] = (revision, rest)
        while len(self._snapshots) > 64:
            self._snapshots.popitem(last=False)

    def snapshot(self, token: str) -> tuple[int, list[Object]] | None:
        """Return the rest of a paged list, if it is still remembered."""
        return self._snapshots.get(token)

    def close(self) -> None:
        """End every watch."""
        self.closed = True
        for history in self._histories.values():
            history.wake()

    def _drop(self, kind: Kind, key: Key, last: Object) -> Object:
        previous = self._objects[kind].pop(key)
        self._publish("DELETED", kind, last, previous)
        return last

    def _next(self) -> str:
        self.revision += 1
        return str(self.revision)

    def _publish(self, type_: ChangeType, kind: Kind, obj: Object, previous: Object | None) -> None:
        change = Change(self.revision, type_, kind, obj, previous)
        self.history(kind).append(change)
        for listener in self.listeners:
            listener(change)
