"""The platform as an agent sees it: a bus, a gateway that enrols, an executor that signs; and what it was told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client
from nats.aio.msg import Msg

from agent import app
from agent.settings import AgentSettings
from shared.contracts.v1.agent import (
    Action,
    AgentCommand,
    ClusterChanged,
    CommandFinished,
    CommandOutcome,
    ExecuteCommand,
    HeartbeatSent,
    RequestResync,
    SnapshotChunkPublished,
    UsageSampled,
)
from shared.contracts.v1.gateway import AgentEnrolled, EnrollAgent, SigningKey
from shared.kernel.cluster_state import Position, Verdict, judge
from shared.kernel.workload import ClusterObjects, ObjectKind
from shared.runtime.clock import SystemClock
from shared.runtime.cluster_store import decode_chunk, key_of
from shared.runtime.ids import UuidSeven
from tests.waiting import until

CLUSTER = "c1"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)
FIELDS = {
    ObjectKind.NODE: "nodes",
    ObjectKind.POD: "pods",
    ObjectKind.WORKLOAD: "workloads",
    ObjectKind.BUDGET: "budgets",
    ObjectKind.VOLUME: "volumes",
    ObjectKind.NAMESPACE: "namespaces",
}


@dataclass
class Platform:
    client: Client
    objects: dict[tuple[ObjectKind, str], Any] = field(default_factory=dict)
    held: Position = field(default_factory=Position)
    chunks: dict[Position, dict[int, SnapshotChunkPublished]] = field(default_factory=dict)
    snapshots: int = 0
    gaps: int = 0
    heartbeats: list[HeartbeatSent] = field(default_factory=list)
    usage: list[UsageSampled] = field(default_factory=list)
    finished: list[CommandFinished] = field(default_factory=list)
    enrolments: list[EnrollAgent] = field(default_factory=list)
    refuse_enrolment: bool = False

    async def listen(self) -> None:
        # From the stream, not from the air: a new listener hears everything from the beginning.
        await self.client.jetstream().subscribe("agent.evt.v1.*.*", cb=self._hear)
        await self.client.subscribe(f"{EnrollAgent.type}.*", cb=self._enrol)
        await self.client.flush()

    def of(self, kind: ObjectKind) -> dict[str, Any]:
        return {key: value for (found, key), value in self.objects.items() if found is kind}

    async def command(
        self, action: Action, *, step: UUID, token: int = 1, seconds: float = 60
    ) -> CommandOutcome:
        command = AgentCommand(
            id=step,
            cluster_id=CLUSTER,
            fencing_token=token,
            expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
            action=action,
        )
        body = command.model_dump_json().encode()
        request = ExecuteCommand.make(
            scope=CLUSTER,
            clock=SystemClock(),
            ids=UuidSeven(),
            body=body,
            key_id="k1",
            signature=KEY.sign(body),
        )
        raw = await self.client.request(
            f"{ExecuteCommand.type}.{CLUSTER}", request.model_dump_json().encode(), timeout=10
        )
        assert "Spot-Error" not in (raw.headers or {}), raw.data
        return CommandOutcome.model_validate_json(raw.data)

    async def ask_resync(self) -> None:
        request = RequestResync.make(scope=CLUSTER, clock=SystemClock(), ids=UuidSeven(), reason="test")
        await self.client.publish(f"{RequestResync.type}.{CLUSTER}", request.model_dump_json().encode())

    async def _enrol(self, message: Msg) -> None:
        self.enrolments.append(EnrollAgent.model_validate_json(message.data))
        if self.refuse_enrolment:
            body = json.dumps({"message": "the token was used", "permanent": True}).encode()
            await self.client.publish(message.reply, body, headers={"Spot-Error": "TokenUsedError"})
            return
        key = SigningKey(key_id="k1", public_key_hex=KEY.public_key().public_bytes_raw().hex())
        answer = AgentEnrolled(cluster_id=CLUSTER, credential="credential", signing_keys=(key,))
        await message.respond(answer.model_dump_json().encode())

    async def _hear(self, message: Msg) -> None:
        name = message.subject.split(".")[3]
        match name:
            case "snapshot_chunk_published":
                self._chunk(SnapshotChunkPublished.model_validate_json(message.data))
            case "cluster_changed":
                self._delta(ClusterChanged.model_validate_json(message.data))
            case "heartbeat_sent":
                self.heartbeats.append(HeartbeatSent.model_validate_json(message.data))
            case "usage_sampled":
                self.usage.append(UsageSampled.model_validate_json(message.data))
            case "command_finished":
                self.finished.append(CommandFinished.model_validate_json(message.data))
            case _:
                raise AssertionError(f"no agent may send {message.subject}")

    def _chunk(self, event: SnapshotChunkPublished) -> None:
        position = Position(event.epoch, event.sequence)
        parts = self.chunks.setdefault(position, {})
        parts[event.index] = event
        if len(parts) < event.count:
            return
        del self.chunks[position]
        self.snapshots += 1
        self.held = position
        self.objects.clear()
        for part in parts.values():
            self._take(decode_chunk(part.body))

    def _delta(self, event: ClusterChanged) -> None:
        position = Position(event.epoch, event.sequence)
        match judge(position, held=self.held):
            case Verdict.APPLY:
                self._take(event.upserts)
                for ref in event.deletes:
                    del self.objects[ref.kind, ref.key]
                self.held = position
            case _:
                self.gaps += 1

    def _take(self, objects: ClusterObjects) -> None:
        for kind, name in FIELDS.items():
            for value in getattr(objects, name):
                self.objects[kind, key_of(kind, value)] = value


@asynccontextmanager
async def platform(nats_url: str) -> AsyncIterator[Platform]:
    client = await nats.connect(nats_url)
    made = Platform(client)
    await made.listen()
    try:
        yield made
    finally:
        await client.close()


@asynccontextmanager
async def running_agent(
    *, nats_url: str, kubeconfig: Path, state_dir: Path, **fields: Any
) -> AsyncIterator[asyncio.Task[None]]:
    chosen: dict[str, Any] = {
        "nats_url": nats_url,
        "cluster_id": CLUSTER,
        "install_token": "install",
        "kubeconfig": str(kubeconfig),
        "state_dir": state_dir,
        "delta_period": timedelta(milliseconds=30),
        "heartbeat_period": timedelta(milliseconds=100),
        "usage_period": timedelta(milliseconds=100),
        "resync_at_most_every": timedelta(milliseconds=50),
    }
    stop = asyncio.Event()
    task = asyncio.create_task(app.serve(AgentSettings(**(chosen | fields)), stop=stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait({task}, timeout=10)


async def settled(lab: Any) -> None:
    await until(lambda: lab.cluster.settled().settled)
