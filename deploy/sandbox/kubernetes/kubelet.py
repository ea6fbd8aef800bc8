"""Kubelets: pods that are placed start after a moment, pods that are told to go stop after their grace period."""

import zlib
from collections.abc import Callable

from deploy.sandbox.kubernetes.index import TERMINAL
from deploy.sandbox.kubernetes.kinds import NODE, POD, Object
from deploy.sandbox.kubernetes.nodes import is_node_ready
from deploy.sandbox.kubernetes.store import Change, Key, Store, key_of
from deploy.sandbox.kubernetes.timing import Timeline

RUN_SECONDS = "sandbox.spot-optimizer/run-seconds"
"""Annotation of a pod that finishes by itself after that many sandbox seconds; Jobs need it to complete."""

_START_SECONDS = 3.0


class Kubelets:
    """All nodes' kubelets at once."""

    def __init__(self, *, store: Store, timeline: Timeline) -> None:
        self._store = store
        self._timeline = timeline
        self._under_way: dict[str, list[Callable[[], None]]] = {}
        self._stopping: set[str] = set()

    def observe(self, change: Change) -> None:
        """Follow one pod."""
        if change.kind is not POD:
            return
        pod, uid = change.object, change.object["metadata"]["uid"]
        if change.type == "DELETED":
            for cancel in self._under_way.pop(uid, []):
                cancel()
            self._stopping.discard(uid)
            return
        if not pod["spec"].get("nodeName"):
            return
        if pod["metadata"].get("deletionTimestamp"):
            if uid not in self._stopping:
                self._stopping.add(uid)
                grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
                self._later(uid, grace, lambda: self._stop(key_of(pod), uid))
        elif uid not in self._under_way and pod["status"].get("phase") == "Pending":
            # Image pulls differ a little; always the same for the same name, so that runs can be compared.
            seconds = _START_SECONDS * (0.7 + zlib.crc32(pod["metadata"]["name"].encode()) % 60 / 100)
            self._later(uid, seconds, lambda: self._start(key_of(pod), uid))

    def start_now(self, pods: list[Object]) -> None:
        """Let pods run at once: how a cluster begins that has been running for long."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            for cancel in self._under_way.get(uid, []):
                cancel()
            self._start(key_of(pod), uid)

    def _later(self, uid: str, seconds: float, action: Callable[[], None]) -> None:
        self._under_way.setdefault(uid, []).append(self._timeline.after(seconds, action))

    def _current(self, key: Key, uid: str) -> Object | None:
        pod = self._store.find(POD, *key)
        return pod if pod is not None and pod["metadata"]["uid"] == uid else None

    def _stop(self, key: Key, uid: str) -> None:
        if self._current(key, uid) is not None:
            self._store.remove(POD, *key)

    def _start(self, key: Key, uid: str) -> None:
        pod = self._current(key, uid)
        if pod is None or pod["metadata"].get("deletionTimestamp") or pod["status"].get("phase") != "Pending":
            return
        node = self._store.find(NODE, "", pod["spec"]["nodeName"])
        if node is None:
            return
        if not is_node_ready(node):
            self._later(uid, _START_SECONDS, lambda: self._start(key, uid))
            return
        at = self._timeline.stamp()
        others = [c for c in pod["status"].get("conditions") or () if c["type"] == "PodScheduled"]
        fine = [
            {"type": name, "status": "True", "lastTransitionTime": at}
            for name in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        ]
        number = zlib.crc32(uid.encode())
        address = f"10.{100 + number % 100}.{number // 100 % 250}.{number // 25_000 % 250}"
        self._store.set_status(
            POD,
            pod,
            phase="Running",
            conditions=[*others, *fine],
            startTime=at,
            podIP=address,
            podIPs=[{"ip": address}],
            hostIP=next((a["address"] for a in node["status"].get("addresses") or ()), ""),
            containerStatuses=[
                {
                    "name": container["name"],
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "image": container.get("image", ""),
                    "imageID": "",
                    "state": {"running": {"startedAt": at}},
                }
                for container in pod["spec"]["containers"]
            ],
        )
        lasts = (pod["metadata"].get("annotations") or {}).get(RUN_SECONDS)
        if lasts is not None:
            self._later(uid, float(lasts), lambda: self._finish(key, uid))

    def _finish(self, key: Key, uid: str) -> None:
        pod = self._current(key, uid)
        if pod is not None and pod["status"].get("phase") not in TERMINAL:
            unready = [
                c for c in pod["status"]["conditions"] if c["type"] not in {"Ready", "ContainersReady"}
            ]
            at = self._timeline.stamp()
            done = {"type": "Ready", "status": "False", "reason": "PodCompleted", "lastTransitionTime": at}
            self._store.set_status(POD, pod, phase="Succeeded", conditions=[*unready, done])
