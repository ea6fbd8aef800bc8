"""The agents' door on a real nats-server with auth callout and the services' real permissions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import nkeys
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import SecretStr

from deploy.local import nats_server, schemas
from deploy.local.ports import free_port
from services.gateway import app
from services.gateway.settings import GatewaySettings
from shared.contracts.subjects import subject_of
from shared.contracts.v1.agent import CommandOutcome, ExecuteCommand, HeartbeatSent, OutcomeStatus
from shared.contracts.v1.executor import GetSigningKeys, SigningKeys
from shared.contracts.v1.gateway import AgentEnrolled, EnrollAgent, SigningKey
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven
from shared.runtime.leases import Leases
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.safe_mode import SafeMode
from shared.runtime.service import Runtime
from tests.integration.gateway.stage import ACCOUNT, PASSWORD, TEMPLATE
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.postgres, pytest.mark.slow]

CLOCK, IDS = SystemClock(), UuidSeven()
PASSWORDS = {name: f"password of {name}" for name in (nats_server.ADMIN, *schemas.SERVICES)}
KEY = SigningKey(key_id="k1", public_key_hex="ab" * 32)


@dataclass
class World:
    """A gateway that runs, an executor that answers, and one connected cluster."""

    bus_url: str
    api_url: str
    token: str
    cluster_id: str
    install_token: str
    executor: Bus

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.request(method, f"{self.api_url}/api/v1{path}", json=body) as answer,
        ):
            content = await answer.json(content_type=None)
            assert answer.status < 400, content
            return content

    async def connect(self, token: str, errors: list[str] | None = None) -> Client:
        async def note(error: Exception) -> None:
            if errors is not None:
                errors.append(str(error))

        client = Client()
        try:
            await client.connect(
                self.bus_url,
                token=token,
                inbox_prefix=f"_INBOX_{self.cluster_id}".encode(),
                allow_reconnect=False,
                error_cb=note,
            )
        except NatsError:
            await client.close()
            raise
        return client

    async def enroll(self, install_token: str | None = None) -> AgentEnrolled:
        token = install_token or self.install_token
        client = await self.connect(token)
        try:
            request = EnrollAgent.make(
                scope=self.cluster_id,
                clock=CLOCK,
                ids=IDS,
                install_token=SecretStr(token),
                agent_version="1.0",
            )
            subject = subject_of(request).for_scope(self.cluster_id)
            raw = await client.request(subject, request.model_dump_json().encode(), timeout=5)
            return AgentEnrolled.model_validate_json(raw.data)
        finally:
            await client.close()


def runtime_of(database: Database, url: str, service: str) -> Runtime:
    health = Health()
    bus = Bus(
        service=service,
        url=url,
        user=service,
        password=PASSWORDS[service],
        clock=CLOCK,
        health=health,
        database=database,
    )
    return Runtime(
        name=service,
        clock=CLOCK,
        ids=IDS,
        health=health,
        database=database,
        bus=bus,
        leases=Leases(database, holder="test"),
        safe_mode=SafeMode(bus),
    )


@pytest.fixture
async def world(make_database: Callable[[str], Awaitable[Database]], tmp_path: Path) -> AsyncIterator[World]:
    """Everything behind the agents' door."""
    issuer = nkeys.from_seed(seed := make_account_seed())
    port, api_port = free_port(), free_port()
    config = tmp_path / "nats.json"
    config.write_text(
        nats_server.config_text(
            port=port,
            store=tmp_path / "store",
            passwords=PASSWORDS,
            services=schemas.SERVICES,
            callout_issuer=issuer.public_key.decode(),
        )
    )
    server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
    await schemas.migrate_bus(server.url, user=nats_server.ADMIN, password=PASSWORDS[nats_server.ADMIN])
    settings = GatewaySettings(
        http_port=api_port,
        agent_nats_url=server.url,
        jwt_secret=SecretStr("x" * 32),
        secrets_key=SecretStr("ab" * 32),
        callout_issuer_seed=SecretStr(seed.decode()),
    )
    runtime = runtime_of(await make_database("gateway"), server.url, "gateway")
    executor = runtime_of(await make_database("executor"), server.url, "executor").bus

    async def keys(_request: GetSigningKeys) -> SigningKeys:
        return SigningKeys(keys=(KEY,))

    executor.serve(GetSigningKeys, keys)
    await executor.broker.connect()
    await executor.broker.start()
    await runtime.bus.broker.connect()
    await app.wire_with(settings, runtime)
    await runtime.bus.broker.start()
    world = World(server.url, f"http://127.0.0.1:{api_port}", "", "", "", executor)
    sign_up = {"email": "ada@example.com", "password": PASSWORD, "organization": "ours"}
    world.token = (await world.call("POST", "/auth/sign-up", sign_up))["access_token"]
    account = await world.call("POST", "/cloud-accounts", ACCOUNT)
    body = {"name": "shop", "cloud_account_id": account["id"], "node_template": TEMPLATE}
    connected = await world.call("POST", "/clusters", body)
    world.cluster_id, world.install_token = connected["cluster"]["id"], connected["install_token"]
    yield world
    for close in reversed(runtime._closers):
        await close()
    await runtime.bus.stop()
    await executor.stop()
    server.stop()


def make_account_seed() -> bytes:
    seed: bytes = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT)
    return seed


async def test_an_agent_enrols_and_then_speaks_for_its_own_cluster_only(world: World) -> None:
    enrolled = await world.enroll()
    assert enrolled.signing_keys == (KEY,)
    errors: list[str] = []
    agent = await world.connect(enrolled.credential.get_secret_value(), errors)
    heartbeat = HeartbeatSent.make(
        scope=world.cluster_id, clock=CLOCK, ids=IDS, agent_version="1.0", epoch=1, sequence=1
    )
    own = subject_of(heartbeat).for_scope(world.cluster_id)
    await agent.jetstream().publish(own, heartbeat.model_dump_json().encode())

    async def is_seen() -> bool:
        cluster = await world.call("GET", f"/clusters/{world.cluster_id}")
        return cluster["last_heartbeat_at"] is not None

    await until(is_seen)

    async def answer(message: Any) -> None:
        request = ExecuteCommand.model_validate_json(message.data)
        outcome = CommandOutcome(command_id=request.id, status=OutcomeStatus.SUCCEEDED)
        await message.respond(outcome.model_dump_json().encode())

    command = ExecuteCommand.make(
        scope=world.cluster_id, clock=CLOCK, ids=IDS, body=b"{}", key_id="k1", signature=b"s"
    )
    await agent.subscribe(subject_of(command).for_scope(world.cluster_id), cb=answer)
    await agent.flush()
    outcome = await world.executor.ask(command, CommandOutcome, timeout_seconds=5)
    assert outcome.status is OutcomeStatus.SUCCEEDED

    assert errors == []
    for subject in (subject_of(heartbeat).for_scope("another"), "gateway.evt.v1.plan_approved.x", "dlq.x"):
        await agent.publish(subject, b"{}")
    for subject in ("agent.cmd.v1.execute_command.another", "gateway.>", ">", "_INBOX.>"):
        await agent.subscribe(subject)
    await agent.flush()
    await until(lambda: len(errors) == 7)
    assert all("permissions violation" in error.lower() for error in errors)
    await agent.close()


async def test_an_install_token_may_enrol_and_nothing_else(world: World) -> None:
    errors: list[str] = []
    agent = await world.connect(world.install_token, errors)
    await agent.publish(f"agent.evt.v1.heartbeat_sent.{world.cluster_id}", b"{}")
    await agent.publish("gateway.rpc.v1.enroll_agent.another", b"{}")
    await agent.subscribe(f"agent.cmd.v1.execute_command.{world.cluster_id}")
    await agent.flush()
    await until(lambda: len(errors) == 3)
    await agent.close()


async def test_strangers_and_revoked_agents_stay_out(world: World) -> None:
    enrolled = await world.enroll()
    credential = enrolled.credential.get_secret_value()
    for stranger in (
        "",
        "spot-agent.x.y",
        f"{credential}x",
        world.install_token.replace("spot-install", "spot-agent"),
    ):
        with pytest.raises(NatsError):
            await world.connect(stranger)
    again = await world.enroll()  # the agent crashed before it stored its credential
    with pytest.raises(NatsError):
        await world.connect(credential)
    await (await world.connect(again.credential.get_secret_value())).close()
    rotated = await world.call("POST", f"/clusters/{world.cluster_id}/install-tokens")
    with pytest.raises(NatsError):
        await world.connect(world.install_token)
    await (await world.connect(again.credential.get_secret_value())).close()
    await (await world.connect(rotated["install_token"])).close()
    await world.call("POST", f"/clusters/{world.cluster_id}/revoke-agent")
    for token in (again.credential.get_secret_value(), rotated["install_token"]):
        with pytest.raises(NatsError):
            await world.connect(token)


async def test_many_agents_connect_at_once(world: World) -> None:
    credential = (await world.enroll()).credential.get_secret_value()
    agents = await asyncio.gather(*(world.connect(credential) for _ in range(30)))
    for agent in agents:
        assert agent.is_connected
        with pytest.raises((NoRespondersError, TimeoutError)):
            await agent.request("gateway.rpc.v1.enroll_agent.x", b"{}", timeout=0.05)
        await agent.close()
