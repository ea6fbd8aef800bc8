"""The composition root: what the agent is made of, in which order it starts, and how it stops."""

import asyncio
import contextlib
import re
import signal
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from agent.adapters import journal as journals
from agent.adapters import kube_client
from agent.adapters.bus import Bus
from agent.adapters.credential_store import FileCredentialStore, SecretCredentialStore
from agent.adapters.gateway import NatsGateway
from agent.adapters.kube_actions import KubeActions
from agent.adapters.kube_client import KubeClient
from agent.adapters.kube_usage import KubeUsage
from agent.adapters.kube_watch import KubeWatch
from agent.adapters.outbox import BufferedOutbox
from agent.domain.command_check import Limits
from agent.domain.mirror import Json, Mirror, WatchedKind
from agent.domain.numbering import Numbering, new_epoch
from agent.entrypoints import subscribers, ticker
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError, MisconfiguredError
from agent.handlers.enrol_agent import enrol_agent
from agent.handlers.execute_command import CommandDesk
from agent.handlers.observe_object import observe_object
from agent.handlers.publish_state import StatePublisher
from agent.handlers.release_nodes import release_nodes
from agent.handlers.report_silence import Silence, report_silence
from agent.handlers.sample_usage import sample_usage
from agent.handlers.send_heartbeat import send_heartbeat
from agent.ports import Credential, CredentialStore
from agent.settings import AgentSettings
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.clock import SystemClock
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven

log = structlog.get_logger(__name__)

T = TypeVar("T")

AGENT_VERSION = "0.1.0"
RELEASE_PERIOD = timedelta(seconds=30)
LAST_WORDS_SECONDS = 3.0
CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def run(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        SpotError: it cannot start, with the reason for people.
    """
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    await serve(settings, stop=stop)


async def serve(settings: AgentSettings, *, stop: asyncio.Event) -> None:
    """Run until told to stop.

    Raises:
        SpotError: it cannot start, with the reason for people.
    """
    if not CLUSTER_ID.fullmatch(settings.cluster_id):
        raise MisconfiguredError("set AGENT_CLUSTER_ID to the id that the gateway gave this cluster")
    clock, ids, health = SystemClock(), UuidSeven(), Health()
    structlog.contextvars.bind_contextvars(cluster_id=settings.cluster_id)
    async with contextlib.AsyncExitStack() as stack:
        await health.serve(host=settings.health_host, port=settings.health_port)
        stack.push_async_callback(health.close)
        health.trouble("start", "starting")
        client = await KubeClient.open(
            kubeconfig=settings.kubeconfig, user_agent=f"spot-optimizer-agent/{AGENT_VERSION}"
        )
        stack.push_async_callback(client.close)
        epoch = new_epoch(now=clock.now(), last=journals.read_epoch(settings.state_dir))
        journals.write_epoch(settings.state_dir, epoch)
        ready = await _unless(stop, _get_ready(settings, client, clock=clock, ids=ids))
        if ready is None:
            return
        version, credential = ready
        agent = Agent(
            settings,
            client=client,
            credential=credential,
            kubernetes_version=version,
            epoch=epoch,
            health=health,
            clock=clock,
            ids=ids,
        )
        await agent.work(stop)


class Agent:
    """Everything that lives between enrolment and the end."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        client: KubeClient,
        credential: Credential,
        kubernetes_version: str | None,
        epoch: int,
        health: Health,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._settings = settings
        self._health = health
        self._clock = clock
        self._ids = ids
        self._kubernetes_version = kubernetes_version
        self._cluster = KubeActions(client, clock=clock, ids=ids)
        self._usage = KubeUsage(client)
        self._mirror = Mirror()
        self._numbering = Numbering(epoch)
        self._journal = journals.FileCommandJournal(settings.state_dir)
        self._bus = Bus(
            url=settings.nats_url,
            cluster_id=settings.cluster_id,
            token=credential.token,
            clock=clock,
            refresh=settings.credential_refresh,
            report=health.trouble,
        )
        self._outbox = BufferedOutbox(bus=self._bus, clock=clock, max_bytes=settings.buffer_max_bytes)
        self._publisher = StatePublisher(
            cluster_id=settings.cluster_id,
            mirror=self._mirror,
            numbering=self._numbering,
            outbox=self._outbox,
            encode=encode_chunk,
            clock=clock,
            ids=ids,
            resync_period=settings.resync_period,
            resync_at_most_every=settings.resync_at_most_every,
        )
        self._desk = CommandDesk(
            cluster_id=settings.cluster_id,
            signing_keys=credential.signing_keys,
            limits=Limits(settings.dry_run, settings.excluded_namespaces, settings.max_drains_in_parallel),
            cluster=self._cluster,
            journal=self._journal,
            outbox=self._outbox,
            clock=clock,
            ids=ids,
            abandoned_after=settings.abandoned_after,
        )
        self._silence = Silence(clock.now())
        complained: set[str] = set()

        def observe(kind: WatchedKind, obj: Json) -> None:
            observe_object(mirror=self._mirror, kind=kind, obj=obj, complained=complained)

        self._watch = KubeWatch(client=client, mirror=self._mirror, observe=observe, report=health.trouble)
        subscribers.subscribe(
            cluster_id=settings.cluster_id,
            desk=self._desk,
            publisher=self._publisher,
            on=self._bus.subscribe,
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Run every loop until told to stop, then say what is left to say."""
        synced = {kind: asyncio.Event() for kind in WatchedKind}
        bodies: dict[str, Coroutine[Any, Any, None]] = {
            f"watch {kind.value}": self._watch.follow(kind, synced[kind]) for kind in WatchedKind
        }
        bodies["bus"] = self._bus.stay_connected()
        bodies["outbox"] = self._outbox.relay()
        bodies["state"] = self._publish(synced)
        bodies["release"] = self._every("release", RELEASE_PERIOD, self._release)
        bodies["silence"] = self._every("silence", RELEASE_PERIOD, self._listen)
        tasks = [asyncio.create_task(body, name=name) for name, body in bodies.items()]
        stopping = asyncio.create_task(stop.wait())
        log.info("agent_started", epoch=self._numbering.epoch, kubernetes_version=self._kubernetes_version)
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._health.trouble("start", "stopping")
            await self._desk.stop()
            if stopping in done:
                if self._publisher.has_begun:
                    await self._turn()
                await self._outbox.drained(within_seconds=LAST_WORDS_SECONDS)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await self._bus.close()
        log.info("agent_stopped")
        for task in tasks:
            if task in done:
                task.result()

    async def _publish(self, synced: dict[WatchedKind, asyncio.Event]) -> None:
        """Begin when every kind was listed: half a cluster is no state it was ever in."""
        for event in synced.values():
            await event.wait()
        self._health.trouble("start", None)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every("state", self._settings.delta_period, self._turn))
            group.create_task(self._every("heartbeat", self._settings.heartbeat_period, self._beat))
            group.create_task(self._every("usage", self._settings.usage_period, self._sample))

    async def _every(self, name: str, period: timedelta, work: Any) -> None:
        await ticker.every(name, period, work, clock=self._clock, report=self._health.trouble)

    async def _turn(self) -> None:
        if not self._watch.is_blind:  # what is old must not be dated now: people act on it
            self._publisher.turn()

    async def _beat(self) -> None:
        if self._watch.is_blind:
            return
        send_heartbeat(
            cluster_id=self._settings.cluster_id,
            agent_version=AGENT_VERSION,
            kubernetes_version=self._kubernetes_version,
            numbering=self._numbering,
            outbox=self._outbox,
            clock=self._clock,
            ids=self._ids,
        )

    async def _sample(self) -> None:
        await sample_usage(
            cluster_id=self._settings.cluster_id,
            source=self._usage,
            outbox=self._outbox,
            clock=self._clock,
            ids=self._ids,
            period=self._settings.usage_period,
        )

    async def _listen(self) -> None:
        await report_silence(
            self._silence,
            is_connected=self._bus.is_connected,
            cluster=self._cluster,
            clock=self._clock,
            patience=self._settings.abandoned_after,
        )

    async def _release(self) -> None:
        await release_nodes(
            desk=self._desk,
            journal=self._journal,
            cluster=self._cluster,
            clock=self._clock,
            abandoned_after=self._settings.abandoned_after,
        )


async def _get_ready(
    settings: AgentSettings, client: KubeClient, *, clock: Clock, ids: Ids
) -> tuple[str | None, Credential]:
    version = await _kubernetes_version(client)
    gateway = NatsGateway(
        url=settings.nats_url,
        cluster_id=settings.cluster_id,
        agent_version=AGENT_VERSION,
        refusal_patience=settings.refusal_patience,
        clock=clock,
        ids=ids,
    )
    credential = await enrol_agent(
        cluster_id=settings.cluster_id,
        install_token=settings.install_token.get_secret_value(),
        kubernetes_version=version,
        store=_credential_store(settings, client),
        gateway=gateway,
        clock=clock,
    )
    return version, credential


def _credential_store(settings: AgentSettings, client: KubeClient) -> CredentialStore:
    if not settings.credential_secret:
        return FileCredentialStore(settings.state_dir)
    namespace, _, name = settings.credential_secret.partition("/")
    if not namespace or not name:
        raise MisconfiguredError("AGENT_CREDENTIAL_SECRET has to be namespace/name")
    return SecretCredentialStore(client, namespace=namespace, name=name)


async def _kubernetes_version(client: KubeClient) -> str | None:
    """Ask the API who it is, waiting until it answers."""
    failures = 0
    while True:
        try:
            return str((await client.get("/version")).get("gitVersion"))
        except KubernetesUnavailableError as error:
            log.warning("kubernetes_waits", error=str(error))
            await kube_client.pause(failures)
            failures += 1
        except KubernetesRefusedError as error:
            if error.status == 401:
                raise
            return None


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the work's result, or None when told to stop before."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
