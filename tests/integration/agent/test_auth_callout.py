"""The agent behind nats-server's auth callout, with exactly the permissions that its credential grants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import nats
import nkeys
import pytest
from nats.aio.client import Client

from deploy.local import nats_server, schemas
from deploy.local.ports import free_port
from services.gateway.adapters.nats_jwt import CalloutIssuer
from services.gateway.entrypoints import callout
from services.gateway.errors import AgentRefusedError
from services.gateway.ports import BusGrant
from shared.contracts.v1.agent import CordonNode, OutcomeStatus
from shared.kernel.workload import ObjectKind
from shared.runtime import streams
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from tests.integration.agent.platform import CLUSTER, Platform, running_agent
from tests.integration.agent.test_agent import same_pods, step
from tests.integration.sandbox_kubernetes.world import lab, workload
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.sandbox, pytest.mark.slow]

PASSWORDS = {name: f"password of {name}" for name in (nats_server.ADMIN, *schemas.SERVICES)}


@dataclass
class Door:
    url: str
    admin: Client
    lease: timedelta = timedelta(hours=12)
    is_open: bool = True
    admitted: list[str] = field(default_factory=list)
    refused: int = 0

    async def admit(self, presented: str) -> BusGrant:
        if not self.is_open or presented not in ("install", "credential"):
            self.refused += 1
            raise AgentRefusedError
        self.admitted.append(presented)
        return BusGrant(
            cluster_id=CLUSTER,
            is_enrolled=presented == "credential",
            expires_at=SystemClock().now() + self.lease,
        )


@asynccontextmanager
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT)
    port = free_port()
    config = tmp_path / "nats.json"
    text = nats_server.config_text(
        port=port,
        store=tmp_path / "store",
        passwords=PASSWORDS,
        services=schemas.SERVICES,
        callout_issuer=nkeys.from_seed(seed).public_key.decode(),
    )
    config.write_text(text)
    server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
    admin = await nats.connect(
        server.url, user=nats_server.ADMIN, password=PASSWORDS[nats_server.ADMIN], allow_reconnect=False
    )
    try:
        await streams.ensure(admin.jetstream())
        made = Door(server.url, admin)
        issuer = CalloutIssuer(
            seed=seed.decode(), account_name=nats_server.ACCOUNT, clock=SystemClock(), ids=UuidSeven()
        )
        await callout.listen(admin, callout.Callout(issuer=issuer, admit=made.admit))
        yield made
    finally:
        await admin.close()
        server.stop()


@pytest.mark.parametrize(
    "refresh", [timedelta(seconds=0.5), timedelta(hours=6)], ids=["renewed in time", "expired"]
)
async def test_the_agent_works_with_its_own_permissions_and_outlives_its_lease(
    tmp_path: Path, refresh: timedelta
) -> None:
    async with lab(tmp_path / "k8s") as world, door(tmp_path) as entrance:
        entrance.lease = timedelta(seconds=2)
        told = Platform(entrance.admin)
        await told.listen()
        node = world.ready_nodes(2)[0]
        async with running_agent(
            nats_url=entrance.url,
            kubeconfig=world.cluster.kubeconfig,
            state_dir=tmp_path / "state",
            credential_refresh=refresh,
        ):
            await until(lambda: told.heartbeats and told.snapshots == 1)
            outcome = await told.command(CordonNode(node_name=node), step=step(1))
            assert outcome.status is OutcomeStatus.SUCCEEDED
            await until(lambda: told.of(ObjectKind.NODE)[node].is_unschedulable)
            await until(lambda: len(told.finished) == 1)
            await until(lambda: entrance.admitted.count("credential") >= 2)
            world.cluster.apply(workload("Deployment", "web", replicas=3))
            await until(lambda: len(told.of(ObjectKind.POD)) == 3 and same_pods(world, told))
            assert told.gaps == 0
            await told.ask_resync()
            await until(lambda: told.snapshots == 2)


async def test_a_gateway_that_is_still_starting_is_waited_for(tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, door(tmp_path) as entrance:
        entrance.is_open = False
        told = Platform(entrance.admin)
        await told.listen()
        async with running_agent(
            nats_url=entrance.url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ) as task:
            await until(lambda: entrance.refused >= 2)
            assert not task.done()
            entrance.is_open = True
            await until(lambda: told.heartbeats)
            assert entrance.admitted == ["install", "credential"]
