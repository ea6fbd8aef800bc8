"""List, then watch, each kind for good: pages, bookmarks, resume by resourceVersion, a new list on 410.

A watcher that lags past the server's history must start over; one whose connection broke must not.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from agent import metrics
from agent.adapters import kube_client
from agent.adapters.kube_client import Json, KubeClient
from agent.domain.mirror import Mirror, WatchedKind, object_key
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError

log = structlog.get_logger(__name__)

PAGE_SIZE = "500"
WATCH_SECONDS = "290"
GONE = 410
UNLISTABLE_RETRY_SECONDS = 60.0

PATHS: Mapping[WatchedKind, str] = {
    WatchedKind.NAMESPACE: "/api/v1/namespaces",
    WatchedKind.NODE: "/api/v1/nodes",
    WatchedKind.REPLICA_SET: "/apis/apps/v1/replicasets",
    WatchedKind.DEPLOYMENT: "/apis/apps/v1/deployments",
    WatchedKind.STATEFUL_SET: "/apis/apps/v1/statefulsets",
    WatchedKind.DAEMON_SET: "/apis/apps/v1/daemonsets",
    WatchedKind.JOB: "/apis/batch/v1/jobs",
    WatchedKind.BUDGET: "/apis/policy/v1/poddisruptionbudgets",
    WatchedKind.STORAGE_CLASS: "/apis/storage.k8s.io/v1/storageclasses",
    WatchedKind.CSI_NODE: "/apis/storage.k8s.io/v1/csinodes",
    WatchedKind.PERSISTENT_VOLUME: "/api/v1/persistentvolumes",
    WatchedKind.CLAIM: "/api/v1/persistentvolumeclaims",
    WatchedKind.POD: "/api/v1/pods",
}
INDISPENSABLE = frozenset({WatchedKind.NODE, WatchedKind.POD, WatchedKind.BUDGET})
"""Without these a picture of the cluster would be wrong, not only poorer."""
BLIND_AFTER_SECONDS = 10.0
"""How long one of these may be out of sight: a watch that breaks is usually back within a second."""


class _HistoryGoneError(Exception):
    """The server no longer knows what happened since our version."""


@dataclass(slots=True)
class _Cursor:
    """Where a watch goes on."""

    version: str | None = None
    """None: list anew."""
    failures: int = 0


@dataclass(frozen=True, kw_only=True)
class KubeWatch:
    """Feeds one mirror."""

    client: KubeClient
    mirror: Mirror
    observe: Callable[[WatchedKind, Json], None]
    report: Callable[[str, str | None], None]
    """Told of a trouble by name, and of its end."""
    _lost_at: dict[WatchedKind, float] = field(default_factory=dict)
    """Since when a kind is not followed, by the loop's clock."""

    @property
    def is_blind(self) -> bool:
        """Whether the mirror may be behind: then nobody must be told that it is how the cluster looks now."""
        since = min((at for kind, at in self._lost_at.items() if kind in INDISPENSABLE), default=None)
        return since is not None and asyncio.get_running_loop().time() - since > BLIND_AFTER_SECONDS

    async def follow(self, kind: WatchedKind, synced: asyncio.Event) -> None:
        """Keep one kind up to date for ever; `synced` is set after the first full list."""
        cursor = _Cursor()
        name = f"watch {kind.value}"
        while True:
            try:
                if cursor.version is None:
                    cursor.version = await self._list(kind)
                    self._see(kind, cursor)
                    synced.set()
                    self.report(name, None)
                await self._watch(kind, cursor)
            except _HistoryGoneError:
                self._lose(kind)
                cursor.version = None
            except KubernetesRefusedError as error:
                self._lose(kind)
                log.error("watch_refused", kind=kind.value, error=str(error))
                self.report(name, str(error))
                cursor.version = None
                if kind not in INDISPENSABLE:
                    synced.set()
                await asyncio.sleep(UNLISTABLE_RETRY_SECONDS)
            except KubernetesUnavailableError as error:
                # A single broken connection is everyday life; the second in a row is a trouble.
                self._lose(kind)
                cursor.failures += 1
                if cursor.failures > 1:
                    log.warning("watch_waits", kind=kind.value, error=str(error))
                    self.report(name, str(error))
                await kube_client.pause(cursor.failures)

    async def _list(self, kind: WatchedKind) -> str:
        """Take every object over and forget the rest; return the list's version."""
        metrics.watch_relists.labels(kind.value).inc()
        keys: set[str] = set()
        query = {"limit": PAGE_SIZE}
        while True:
            try:
                page = await self.client.get(PATHS[kind], **query)
            except KubernetesRefusedError as error:
                if error.status == GONE and "continue" in query:
                    raise _HistoryGoneError from error
                raise
            for obj in page.get("items") or ():
                keys.add(object_key(obj))
                self.observe(kind, obj)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                self.mirror.keep_only(kind, keys)
                metrics.objects_watched.labels(kind.value).set(self.mirror.count(kind))
                return str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def _watch(self, kind: WatchedKind, cursor: "_Cursor") -> None:
        """Follow changes until the server ends the watch; the cursor moves with every event."""
        events = self.client.lines(
            PATHS[kind],
            opened=partial(self._see, kind, cursor),
            watch="true",
            allowWatchBookmarks="true",
            timeoutSeconds=WATCH_SECONDS,
            resourceVersion=cursor.version or "",
        )
        try:
            async for event in events:
                obj = event.get("object") or {}
                match event.get("type"):
                    case "ADDED" | "MODIFIED":
                        self.observe(kind, obj)
                    case "DELETED":
                        self.mirror.remove(kind, object_key(obj))
                        metrics.objects_watched.labels(kind.value).set(self.mirror.count(kind))
                    case "BOOKMARK":
                        pass
                    case _:
                        if obj.get("code") == GONE:
                            raise _HistoryGoneError
                        raise KubernetesUnavailableError(f"watch of {kind.value}: {obj.get('message')}")
                cursor.version = str(obj["metadata"]["resourceVersion"])
        except KubernetesRefusedError as error:
            if error.status == GONE:
                raise _HistoryGoneError from error
            raise
        finally:
            await events.aclose()

    def _see(self, kind: WatchedKind, cursor: "_Cursor") -> None:
        """Note that a kind is followed again."""
        self._lost_at.pop(kind, None)
        if cursor.failures:
            cursor.failures = 0
            self.report(f"watch {kind.value}", None)

    def _lose(self, kind: WatchedKind) -> None:
        self._lost_at.setdefault(kind, asyncio.get_running_loop().time())
