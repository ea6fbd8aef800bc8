"""The whole cluster: joins the store, API, scheduler, kubelets and controllers, and drives them."""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from deploy.sandbox.kubernetes.budgets import Budgets
from deploy.sandbox.kubernetes.certificates import issue, write_kubeconfig
from deploy.sandbox.kubernetes.errors import bad_request
from deploy.sandbox.kubernetes.garbage import GarbageCollector
from deploy.sandbox.kubernetes.index import TERMINAL, Index, is_ready
from deploy.sandbox.kubernetes.instances import Instances
from deploy.sandbox.kubernetes.journal import Journal
from deploy.sandbox.kubernetes.kinds import BY_NAME, NAMESPACE, POD, STORAGE_CLASS, Object
from deploy.sandbox.kubernetes.kubelet import Kubelets
from deploy.sandbox.kubernetes.lifecycle import NodeLifecycle
from deploy.sandbox.kubernetes.paths import Target
from deploy.sandbox.kubernetes.scheduler import Scheduler
from deploy.sandbox.kubernetes.server import ApiServer
from deploy.sandbox.kubernetes.store import Change, Store
from deploy.sandbox.kubernetes.timing import Timeline
from deploy.sandbox.kubernetes.volumes import Volumes
from deploy.sandbox.kubernetes.workloads import Workloads
from deploy.sandbox.kubernetes.writes import Writes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What a simulated cluster is made of."""

    name: str
    region: str
    state_dir: Path
    """Gets the kubeconfig and the server's key, both 0600."""
    port: int = 0
    """0: any free one."""
    clock_factor: float = 30.0
    """Sandbox seconds per real second."""
    seed: int = 1
    history_length: int = 20_000
    """Changes kept per kind; a watch that asks for older ones gets 410."""
    bookmark_seconds: float = 2.0
    """Real seconds between bookmarks of an idle watch; a real cluster sends one a minute."""
    tls: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether everything that should run runs."""

    pending: int
    """Pods that do not run, or are on their way out."""
    nodes_not_ready: int
    idle: bool
    """Whether the controllers have seen everything."""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to happen by itself."""
        return self.idle and not self.pending and not self.nodes_not_ready


class Cluster:
    """A running simulated cluster."""

    def __init__(self, *, config: ClusterConfig, instances: Instances) -> None:
        self.config = config
        self.timeline = Timeline(config.clock_factor)
        self.store = Store(timeline=self.timeline, seed=config.seed, history_length=config.history_length)
        self.index = Index()
        self.journal = Journal()
        self.budgets = Budgets(
            store=self.store, index=self.index, journal=self.journal, timeline=self.timeline
        )
        self.writes = Writes(
            store=self.store,
            index=self.index,
            budgets=self.budgets,
            journal=self.journal,
            timeline=self.timeline,
        )
        self.kubelets = Kubelets(store=self.store, timeline=self.timeline)
        self.lifecycle = NodeLifecycle(
            store=self.store,
            index=self.index,
            budgets=self.budgets,
            timeline=self.timeline,
            instances=instances,
            cluster_name=config.name,
            region=config.region,
        )
        self.scheduler = Scheduler(
            store=self.store,
            timeline=self.timeline,
            volumes=Volumes(store=self.store),
            place=self.writes.place,
        )
        self._workloads = Workloads(store=self.store, index=self.index, writes=self.writes)
        self._garbage = GarbageCollector(store=self.store, index=self.index, writes=self.writes)
        self.token = f"{random.Random(config.seed).getrandbits(128):032x}"
        self.url = ""
        self.kubeconfig = config.state_dir / "kubeconfig"
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._server = ApiServer(
            store=self.store,
            index=self.index,
            writes=self.writes,
            journal=self.journal,
            timeline=self.timeline,
            token=self.token,
            bookmark_seconds=config.bookmark_seconds,
        )
        self.store.listeners.extend(
            (
                # The index first: the others look things up in it.
                self.index.observe,
                self.budgets.observe,
                self.kubelets.observe,
                self.lifecycle.observe,
                self.scheduler.observe,
                self._workloads.observe,
                self._garbage.observe,
                self._notice,
            )
        )

    @classmethod
    async def start(cls, *, config: ClusterConfig, instances: Instances) -> Self:
        """Start a cluster whose nodes are those instances that carry its tag."""
        cluster = cls(config=config, instances=instances)
        config.state_dir.mkdir(parents=True, exist_ok=True)
        context, authority = issue(config.state_dir) if config.tls else (None, None)
        port = await cluster._server.start(port=config.port, tls=context)
        cluster.url = f"{'https' if config.tls else 'http'}://127.0.0.1:{port}"
        write_kubeconfig(
            cluster.kubeconfig,
            url=cluster.url,
            cluster=config.name,
            token=cluster.token,
            authority=authority,
        )
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster.store.create(
            STORAGE_CLASS,
            {
                "metadata": {
                    "name": "gp3",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "ebs.csi.aws.com",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
        )
        cluster.lifecycle.start()
        cluster._task = asyncio.create_task(cluster._run(), name="kubernetes-control-plane")
        return cluster

    async def stop(self) -> None:
        """Stop everything."""
        self.timeline.stop()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._server.stop()

    def apply(self, manifest: Object) -> Object:
        """Create an object as a client would.

        Raises:
            ApiError: it is refused.
        """
        kind = BY_NAME.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
        if kind is None:
            msg = f"no resource for {manifest.get('apiVersion')} {manifest.get('kind')}"
            raise bad_request(msg)
        namespace = (manifest.get("metadata") or {}).get("namespace") or "default"
        if kind.namespaced and self.store.find(NAMESPACE, "", namespace) is None:
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return self.writes.create(Target(kind, namespace if kind.namespaced else "", "", ""), manifest)

    def unscheduled(self) -> list[Object]:
        """Give the pods that have no node."""
        return [
            pod
            for pod in self.store.all(POD)
            if not pod["spec"].get("nodeName") and pod["status"].get("phase") not in TERMINAL
        ]

    def settled(self) -> Settled:
        """Say whether everything that should run runs."""
        pending = sum(
            1
            for pod in self.store.all(POD)
            if pod["status"].get("phase") not in TERMINAL
            and (not is_ready(pod) or pod["metadata"].get("deletionTimestamp"))
        )
        return Settled(pending=pending, nodes_not_ready=self.lifecycle.not_ready(), idle=self._idle)

    @property
    def _idle(self) -> bool:
        return self._workloads.idle and self._garbage.idle and self.scheduler.idle

    def _notice(self, _change: Change) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                self._garbage.reconcile()
                self._workloads.reconcile()
                await self.scheduler.reconcile()
                self.budgets.reconcile()
            except Exception:
                # One object that makes no sense must not stop the cluster for all others.
                log.exception("control_plane_failed")
            if not self._idle:
                self._wake.set()
            await asyncio.sleep(0)
