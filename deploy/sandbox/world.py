"""AWS and the cluster together: instances become nodes, and one place knows both sides."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from deploy.sandbox.aws.world import AwsConfig, AwsWorld, Instance
from deploy.sandbox.config import SandboxConfig
from deploy.sandbox.kubernetes.certificates import write_private
from deploy.sandbox.kubernetes.cluster import Cluster, ClusterConfig
from deploy.sandbox.kubernetes.index import is_daemon


class NothingToInterruptError(Exception):
    """No running spot instance of the cluster is a node."""


@dataclass(frozen=True, slots=True)
class World:
    """A running sandbox."""

    config: SandboxConfig
    aws: AwsWorld
    cluster: Cluster

    def members(self) -> list[Instance]:
        """Return the cluster's running instances."""
        return [
            i for i in self.aws.instances() if i.state == "running" and self.cluster.lifecycle.is_member(i)
        ]

    async def launch_nodes(self, wanted: list[dict[str, Any]], *, instant: bool) -> list[dict[str, str]]:
        """Launch instances that join the cluster; `instant` makes them Ready nodes at once."""
        nodes = []
        tag = f"kubernetes.io/cluster/{self.config.cluster_name}"
        for item in wanted:
            instance = await self.aws.launch(
                instance_type=item["instance_type"],
                zone=item["zone"],
                capacity_type=item.get("capacity_type", "on-demand"),
                tags={tag: "owned", "Name": f"{self.config.cluster_name}-node"},
            )
            name = self.cluster.lifecycle.node_of(instance)
            if instant:
                self.cluster.lifecycle.ready_now(instance)
            nodes.append({"instance_id": instance.id, "node": name})
        return nodes

    async def interrupt(self, instance_id: str | None) -> dict[str, str]:
        """Announce the loss of an instance; without a name that of the spot node with most pods.

        Raises:
            NothingToInterruptError: there is none.
        """
        members = {i.id: i for i in self.members() if i.id not in self.cluster.lifecycle.interrupted}
        if instance_id is None:
            spot = [i for i in members.values() if i.capacity_type == "spot"]
            chosen = max(spot, key=self._workload_pods, default=None)
        else:
            chosen = members.get(instance_id)
        if chosen is None:
            msg = f"no running instance {instance_id or 'on spot'} in the cluster to interrupt"
            raise NothingToInterruptError(msg)
        self.cluster.lifecycle.mark_interrupted(chosen.id)
        await self.aws.interrupt(chosen.id)
        return {"instance_id": chosen.id, "node": self.cluster.lifecycle.node_of(chosen)}

    def usd_per_hour(self) -> float | None:
        """Sum what the cluster's instances cost now; none when a price is not known."""
        prices = [self.aws.price(i.instance_type, i.zone, i.capacity_type) for i in self.members()]
        return sum(p for p in prices if p is not None) if None not in prices else None

    def write_summary(self, control_url: str) -> None:
        """Write sandbox.json: where everything is, and what is known of it."""
        seed = self.aws.seed
        summary = {
            "aws_url": self.aws.url,
            "kubernetes_url": self.cluster.url,
            "control_url": control_url,
            "kubeconfig": str(self.cluster.kubeconfig),
            "cluster_name": self.config.cluster_name,
            "clock_factor": self.config.clock_factor,
            "market": self.aws.market.description,
            "accounts": {"platform": seed.platform_account, "customer": seed.customer_account},
            **asdict(seed),
        }
        path = self.config.state_dir / "sandbox.json"
        partial = path.with_suffix(".partial")
        # Whoever waits for the file must find it whole; it holds the platform's simulated credentials.
        write_private(partial, json.dumps(summary, indent=2).encode())
        partial.replace(path)

    def _workload_pods(self, instance: Instance) -> int:
        pods = self.cluster.index.by_node.get(self.cluster.lifecycle.node_of(instance), {}).values()
        return sum(1 for pod in pods if not is_daemon(pod))


@contextlib.asynccontextmanager
async def running_world(config: SandboxConfig) -> AsyncIterator[World]:
    """Start AWS, then the cluster; stop both in the opposite order."""
    config.state_dir.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        aws = await AwsWorld.start(
            AwsConfig(
                region=config.region,
                state_dir=config.state_dir,
                port=config.aws_port,
                prices_file=config.prices_file,
                on_demand_file=config.on_demand_file,
                clock_factor=config.clock_factor,
                market_moves=config.market_moves,
                seed=config.seed,
            )
        )
        stack.push_async_callback(aws.stop)
        cluster = await Cluster.start(
            config=ClusterConfig(
                name=config.cluster_name,
                region=config.region,
                state_dir=config.state_dir,
                port=config.kubernetes_port,
                clock_factor=config.clock_factor,
                seed=config.seed,
            ),
            instances=aws,
        )
        stack.push_async_callback(cluster.stop)
        yield World(config, aws, cluster)
