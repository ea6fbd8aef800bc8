"""The cluster that the demo begins with: on-demand nodes, as full as kube-scheduler makes them."""

import asyncio
from dataclasses import dataclass

from deploy.demo import starting_cluster, workloads
from deploy.demo.errors import DemoError
from deploy.demo.progress import Progress
from deploy.demo.waiting import POLL_SECONDS, Patience
from deploy.demo.world import World

SETTLING_SECONDS = 120
STUCK_SECONDS = 1.0
BATCH = 20
"""Manifests created at once while the starting cluster fills; controllers see each batch before the next."""


@dataclass(frozen=True, slots=True)
class Filling:
    """Nodes and pods of the sandbox's cluster."""

    world: World
    progress: Progress
    patience: Patience

    async def fill(self, chosen: workloads.WorkloadSet, *, idle_share: float) -> None:
        """Build the starting cluster, and add nodes until kube-scheduler has placed every pod."""
        self.progress.doing("building the starting cluster")
        needs, daemons = starting_cluster.needs_of(chosen.manifests)
        daemon_sets = sum(m["kind"] == "DaemonSet" for m in chosen.manifests)
        catalogue = await self.world.get("/catalogue")
        types = starting_cluster.types_of(catalogue, daemons=daemons, daemon_pods=daemon_sets)
        nodes = starting_cluster.pack(needs, types, idle_share=idle_share)
        # There is no preemption in the sandbox: daemons must be on every node before anybody else comes.
        # Nor is there packing in kube-scheduler: what is large must come before what is small takes its room.
        ordered = starting_cluster.largest_first(chosen.manifests)
        await self.world.post("/manifests", {"manifests": ordered[:daemon_sets]})
        await self.world.post("/nodes", {"instances": starting_cluster.placed(nodes), "instant": True})
        await self.settled()
        for begin in range(daemon_sets, len(ordered), BATCH):
            await self.world.post("/manifests", {"manifests": ordered[begin : begin + BATCH]})
        extra, most = 0, len(nodes) + 20
        need_by_name = {need.name: need for need in needs}
        while stuck := await self._stuck():
            if extra > most:
                raise DemoError(f"{len(stuck)} pods of the workload cannot be scheduled, such as {stuck[0]}.")
            missing = [need_by_name[name] for name in stuck if name in need_by_name]
            more = starting_cluster.pack(missing, types, idle_share=0) if missing else nodes[:1]
            await self.world.post(
                "/nodes", {"instances": starting_cluster.placed(more, turn=extra), "instant": True}
            )
            extra += len(more)
            nodes = [*nodes, *more]
        used = starting_cluster.usage_ratio(needs, nodes)
        idle = f", idle share {idle_share:.0%} asked for" if idle_share else ""
        self.progress.say(
            f"Starting cluster: {len(nodes)} on-demand nodes, {used:.0%} requested{idle}"
            + (f" ({extra} added so that every pod could be scheduled)." if extra else ".")
        )

    async def settled(self) -> None:
        """Wait until every pod runs and every node is Ready."""
        await self.patience.until(
            lambda: self.world.get("/settled"),
            lambda now: now["settled"],
            "the cluster to settle",
            seconds=SETTLING_SECONDS,
        )

    async def _stuck(self) -> list[str]:
        """Wait until every pod runs, or the number of those without a node stays; name their workloads."""
        loop = asyncio.get_running_loop()
        fewest, since = -1, loop.time()
        while True:
            now = await self.world.get("/settled")
            if now["settled"]:
                return []
            unscheduled = now["unscheduled"]
            if len(unscheduled) != fewest:
                fewest, since = len(unscheduled), loop.time()
            elif fewest and loop.time() - since > STUCK_SECONDS:
                return [pod["labels"].get("app", pod["name"]) for pod in unscheduled]
            elif loop.time() - since > SETTLING_SECONDS:
                raise DemoError("the starting cluster does not become Ready.")
            await asyncio.sleep(POLL_SECONDS)
