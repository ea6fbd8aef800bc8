"""A customer's side of the bus: nodes follow the sandbox's instances, and commands are done at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import aioboto3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deploy.sandbox.aws.world import AwsWorld
from shared.contracts.base import Message
from shared.contracts.subjects import subject_of
from shared.contracts.v1 import agent
from shared.contracts.v1.executor import GetSigningKeys, SigningKeys
from shared.contracts.v1.gateway import LendCredentials, LentCredentials
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, ObjectKind, ObjectRef, Pod
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.messaging import Bus
from tests.builders import make_node

LOOK_SECONDS = 0.03


async def publish(bus: Bus, message: Message) -> None:
    await bus.js.publish(
        subject_of(message).for_scope(message.scope),
        message.model_dump_json().encode(),
        headers={"Nats-Msg-Id": str(message.id)},
    )


class Customer:
    """Publishes as cluster c1's agent, answers its commands, and lends the sandbox's credentials."""

    def __init__(self, bus: Bus, world: AwsWorld, *, clock: Clock, ids: Ids, pods: list[Pod]) -> None:
        self.bus = bus
        self.world = world
        self.clock = clock
        self.ids = ids
        self.nodes: dict[str, Node] = {}
        self.pods = {pod.key: pod for pod in pods}
        self.sequence = 0
        self.commands: list[agent.AgentCommand] = []
        self.lent = 0
        self.key: Ed25519PublicKey | None = None
        bus.serve(agent.ExecuteCommand, self.execute)
        bus.serve(LendCredentials, self.lend)

    async def trust(self) -> None:
        """Learn the executor's key, as enrolment does."""
        request = GetSigningKeys.make(scope="global", clock=self.clock, ids=self.ids)
        keys = (await self.bus.ask(request, SigningKeys)).keys
        self.key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[0].public_key_hex))

    async def lend(self, request: LendCredentials) -> LentCredentials:
        self.lent += 1
        seed = self.world.seed
        own = aioboto3.Session(
            aws_access_key_id=seed.platform_credentials.access_key_id,
            aws_secret_access_key=seed.platform_credentials.secret_access_key,
            region_name=seed.region,
        )
        async with own.client("sts", endpoint_url=self.world.url) as sts:
            answer = await sts.assume_role(
                RoleArn=seed.role_arn, RoleSessionName="test", ExternalId=seed.external_id
            )
        lent = answer["Credentials"]
        return LentCredentials(
            access_key_id=lent["AccessKeyId"],
            secret_access_key=lent["SecretAccessKey"],
            session_token=lent["SessionToken"],
            expires_at=self.clock.now() + timedelta(hours=1),
            account_number=seed.customer_account,
            region=seed.region,
        )

    async def execute(self, request: agent.ExecuteCommand) -> agent.CommandOutcome:
        assert self.key is not None
        self.key.verify(request.signature, request.body)
        command = agent.AgentCommand.model_validate_json(request.body)
        self.commands.append(command)
        name = getattr(command.action, "node_name", "")
        match command.action:
            case agent.CordonNode():
                await self.change(replace(self.nodes[name], is_unschedulable=True))
            case agent.UncordonNode():
                await self.change(replace(self.nodes[name], is_unschedulable=False))
            case agent.DrainNode():
                await self.change(replace(self.nodes[name], is_unschedulable=True))
                await self.evict(name)
            case _:
                raise AssertionError(command.action)
        return agent.CommandOutcome(command_id=command.id, status=agent.OutcomeStatus.SUCCEEDED)

    async def evict(self, name: str) -> None:
        for pod in [p for p in self.pods.values() if p.node_name == name]:
            self.pods[pod.key] = replace(pod, node_name=None, created_at=self.clock.now())
            await self._delta(ClusterObjects(pods=(self.pods[pod.key],)))
        await self.place_pending()

    async def place_pending(self) -> None:
        """Schedule what waits, where there is room."""
        for pod in [p for p in self.pods.values() if p.node_name is None]:
            view = ClusterView(self.nodes.values(), self.pods.values())
            target = next((n for n in view.node_names if view.fits(pod, n)), None)
            if target is not None:
                self.pods[pod.key] = replace(pod, node_name=target)
                await self._delta(ClusterObjects(pods=(self.pods[pod.key],)))

    async def change(self, node: Node) -> None:
        self.nodes[node.name] = node
        await self._delta(ClusterObjects(nodes=(node,)))

    async def publish_snapshot(self) -> None:
        objects = ClusterObjects(nodes=tuple(self.nodes.values()), pods=tuple(self.pods.values()))
        await publish(
            self.bus,
            agent.SnapshotChunkPublished.make(
                scope="c1",
                clock=self.clock,
                ids=self.ids,
                epoch=1,
                sequence=self.sequence,
                index=0,
                count=1,
                as_of=self.clock.now(),
                body=encode_chunk(objects),
            ),
        )

    async def follow_instances(self) -> None:
        """Let nodes come and go with their instances."""
        while True:
            running = {i.id: i for i in self.world.instances() if i.state == "running"}
            known = {node.instance_id: node for node in self.nodes.values()}
            for instance in [i for i in running.values() if i.id not in known]:
                await self.change(
                    make_node(
                        f"node-{instance.id}",
                        instance_id=instance.id,
                        instance_type=instance.instance_type,
                        zone=instance.zone,
                        zone_id=instance.zone_id,
                        capacity_type=CapacityType(instance.capacity_type),
                    )
                )
            for node in [n for n in self.nodes.values() if n.instance_id not in running]:
                del self.nodes[node.name]
                await self._delta(ClusterObjects(), ObjectRef(ObjectKind.NODE, node.name))
            await self.place_pending()
            await asyncio.sleep(LOOK_SECONDS)

    async def _delta(self, upserts: ClusterObjects, *deletes: ObjectRef) -> None:
        self.sequence += 1
        await publish(
            self.bus,
            agent.ClusterChanged.make(
                scope="c1",
                clock=self.clock,
                ids=self.ids,
                epoch=1,
                sequence=self.sequence,
                upserts=upserts,
                deletes=deletes,
            ),
        )
