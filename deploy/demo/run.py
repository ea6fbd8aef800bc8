"""The main job, from an expensive cluster to booked savings, through the product's own doors."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo import starting_cluster, workloads
from deploy.demo.errors import DemoError
from deploy.demo.gateway import Gateway
from deploy.demo.progress import Progress
from deploy.demo.result import Result, result_of
from deploy.demo.world import World, WorldOptions
from deploy.local import processes, stack
from deploy.local.home import Home
from deploy.local.supervisor import Child

CLOCK_FACTOR = 30.0
"""Sandbox seconds per real second: a node is Ready after 2 s, an interruption's two minutes are 4 s."""

POLL_SECONDS = 0.3
PLANNING_SECONDS = 180
EXECUTION_SECONDS = 1200
SETTLING_SECONDS = 120
STUCK_SECONDS = 1.0
BATCH = 20
"""Manifests created at once while the starting cluster fills; controllers see each batch before the next."""

BOOKING_SECONDS = 90
SERVICE_ENV = {
    "PRICING_REFRESH_PERIOD": "PT30S",
    "OPTIMIZER_PENDING_SETTLE": "PT3S",
    "REPORTING_SLICE": "PT3S",
    "REPORTING_SETTLE": "PT1S",
    "REPORTING_TICK_PERIOD": "PT1S",
}
"""A demo lasts minutes where a cluster lives for years: periods shrink, nothing else changes."""

POLICY = {"max_disrupted_nodes_ratio": 0.34, "drain_deadline_seconds": 120, "stabilization_seconds": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `spotopt demo` was asked for."""

    workload: Path | None = None
    cpu_only: bool = False
    pods: int | None = None
    prices: Path | None = None
    on_demand: Path | None = None
    idle_share: float = 0.0
    keep: bool = False
    seed: int = 1
    clock_factor: float = CLOCK_FACTOR
    still_market: bool = False
    """Prices stand still, so that a second plan sees what the first one saw."""
    kill: str | None = None
    """A service, or the agent, to SIGKILL once while the first plan is carried out."""
    report: Path | None = None
    """Where to write the sandbox's own report."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to go on with a demo that was kept."""

    url: str
    email: str
    password: str


@dataclass
class Demo:
    """One run; its parts are closed by whoever opened them."""

    options: DemoOptions
    home: Home
    world: World
    stack: stack.Stack
    gateway: Gateway
    progress: Progress
    access: Access
    workload: workloads.WorkloadSet
    cluster_id: str = ""
    agent: Child | None = None

    async def run(self) -> Result:
        """Do it all and count what came of it."""
        chosen = self.workload
        self.progress.say(f"Market: {self.world.facts['market']}.")
        self.progress.say(f"Workload: {chosen.source}, {chosen.pods} pods.")
        for note in chosen.notes:
            self.progress.say(f"Note: {note}.")
        await self._fill(chosen)
        self.progress.watch(lambda: self.world.get("/state"))
        baseline = await self.world.post("/mark", {"name": "baseline"})
        await self._connect(chosen.strategy)
        await self._save()
        moves_planned_again = await self._look_again()
        await self._interrupt()
        await self._book()
        report = await self.world.get("/report")
        if self.options.report is not None:
            self.options.report.write_text(json.dumps(report, indent=2))
        savings = await self.gateway.call("GET", f"/savings?cluster_id={self.cluster_id}")
        return result_of(
            report,
            baseline=baseline,
            booked_usd=savings["total_savings_usd"],
            types_skipped=self.world.facts["types_skipped"],
            moves_planned_again=moves_planned_again,
            seconds=self.progress.seconds,
        )

    async def _fill(self, chosen: workloads.WorkloadSet) -> None:
        """Build the starting cluster, and add nodes until kube-scheduler has placed every pod."""
        self.progress.doing("building the starting cluster")
        needs, daemons = starting_cluster.needs_of(chosen.manifests)
        daemon_sets = sum(m["kind"] == "DaemonSet" for m in chosen.manifests)
        catalogue = await self.world.get("/catalogue")
        types = starting_cluster.types_of(catalogue, daemons=daemons, daemon_pods=daemon_sets)
        nodes = starting_cluster.pack(needs, types, idle_share=self.options.idle_share)
        # There is no preemption in the sandbox: daemons must be on every node before anybody else comes.
        # Nor is there packing in kube-scheduler: what is large must come before what is small takes its room.
        ordered = starting_cluster.largest_first(chosen.manifests)
        await self.world.post("/manifests", {"manifests": ordered[:daemon_sets]})
        await self.world.post("/nodes", {"instances": starting_cluster.placed(nodes), "instant": True})
        await self._settled()
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
        idle = f", idle share {self.options.idle_share:.0%} asked for" if self.options.idle_share else ""
        self.progress.say(
            f"Starting cluster: {len(nodes)} on-demand nodes, {used:.0%} requested{idle}"
            + (f" ({extra} added so that every pod could be scheduled)." if extra else ".")
        )

    async def _connect(self, strategy: str) -> None:
        """Sign up, connect account and cluster, install the agent."""
        self.progress.doing("connecting the cluster")
        facts = self.world.facts
        await self.gateway.sign_up(
            email=self.access.email, password=self.access.password, organization="Demo"
        )
        account = await self.gateway.call(
            "POST",
            "/cloud-accounts",
            {
                "name": "customer",
                "account_number": facts["customer_account"],
                "role_arn": facts["role_arn"],
                "external_id": facts["external_id"],
                "region": facts["region"],
            },
        )
        connected = await self.gateway.call(
            "POST",
            "/clusters",
            {
                "name": facts["cluster_name"],
                "cloud_account_id": account["id"],
                "node_template": {
                    "launch_template_id": facts["launch_template_id"],
                    "subnets": [
                        {"subnet_id": subnet, "zone": zone, "zone_id": zone_id}
                        for subnet, zone, zone_id in facts["subnets"]
                    ],
                },
                "policy": {**POLICY, "strategy": strategy},
            },
        )
        self.cluster_id = connected["cluster"]["id"]
        self.agent = _agent(self.home, connected["agent_env"], self.world.facts["kubeconfig"])
        self.agent.start(lambda name, text: self.progress.say(f"{name}: {text}"))
        await self._until(
            lambda: self.gateway.call("GET", f"/clusters/{self.cluster_id}"),
            lambda cluster: bool((cluster.get("summary") or {}).get("nodes")),
            "the agent's first snapshot",
            seconds=SETTLING_SECONDS,
        )
        self.progress.say("The agent is enrolled and its first snapshot has arrived.")

    async def _save(self) -> None:
        """Plan, approve and carry out."""
        plan = await self._plan()
        if plan is None:
            raise DemoError("there is nothing to save in this cluster.")
        await self._carry_out(plan, kill=self.options.kill)

    async def _look_again(self) -> int:
        """Ask for a plan right after one was carried out, and give how many moves it has; none is approved."""
        plan = await self._plan()
        return 0 if plan is None else int(plan["moves"])

    async def _interrupt(self) -> None:
        """Take the spot node with most pods away, and let the product cope; then plan once more."""
        state = await self.world.get("/state")
        if not state["instances"]["spot"]:
            self.progress.say("No node is on spot: there is nothing to interrupt.")
            return
        before = (await self.world.get("/report"))["terminations"]
        hit = await self.world.post("/interrupt", {"instance_id": None})
        self.progress.say(f"Second round: EC2 announces the interruption of {hit['node']}.")
        self.progress.doing("handling the interruption")
        await self._until(
            lambda: self.world.get("/report"),
            lambda report: report["terminations"] > before,
            "the end of the interrupted instance",
            seconds=SETTLING_SECONDS,
        )
        await self._idle()
        await self._settled()
        report = await self.world.get("/report")
        self.progress.say(
            f"{report['interruptions_handled']} of {report['interruptions_injected']} interruptions handled."
        )
        plan = await self._plan()
        if plan is not None:
            await self._carry_out(plan)
        await self._settled()

    async def _plan(self) -> dict[str, Any] | None:
        """Ask for a plan; None when planning says that nothing is worth changing."""
        self.progress.doing("planning")
        path = f"/clusters/{self.cluster_id}/plans"
        before = await self.gateway.call("GET", path)
        known = {plan["id"] for plan in before["plans"]}
        await self.gateway.call("POST", f"/clusters/{self.cluster_id}/optimize")

        def is_answered(answer: dict[str, Any]) -> bool:
            return bool(_new(answer, known)) or answer["last_skip_at"] != before["last_skip_at"]

        answer = await self._until(
            lambda: self.gateway.call("GET", path), is_answered, "a plan", seconds=PLANNING_SECONDS
        )
        new = _new(answer, known)
        if not new:
            self.progress.say(f"No further plan: {answer['last_skip_reason']}")
            return None
        plan: dict[str, Any] = new[0]
        self.progress.say(
            f"Plan: {plan['moves']} moves, {plan['nodes_before']} → {plan['nodes_after']} nodes,"
            f" {_usd(plan['cost_before_usd_per_hour'])} → {_usd(plan['cost_after_usd_per_hour'])}."
        )
        return plan

    async def _carry_out(self, plan: dict[str, Any], *, kill: str | None = None) -> None:
        """Approve a plan and wait for the end of its execution."""
        self.progress.doing("carrying out the plan")
        await self.gateway.call("POST", f"/clusters/{self.cluster_id}/plans/{plan['id']}/approve", {})
        killing = asyncio.create_task(self._kill_soon(kill)) if kill else None

        def execution(answer: dict[str, Any]) -> dict[str, Any] | None:
            return next((e for e in answer["executions"] if e["plan_id"] == plan["id"]), None)

        answer = await self._until(
            lambda: self.gateway.call("GET", f"/clusters/{self.cluster_id}/executions"),
            lambda answer: (execution(answer) or {}).get("status") not in (None, "running"),
            "the end of the execution",
            seconds=EXECUTION_SECONDS,
        )
        if killing is not None:
            await killing
        done = execution(answer) or {}
        self.progress.say(
            f"Execution {done['status']}: {done['steps_done']} of {done['steps_total']} steps. {done['detail']}"
        )
        await self._tell_trouble(done)
        await self._idle()
        await self._settled()

    async def _tell_trouble(self, execution: dict[str, Any]) -> None:
        """Say why steps were left out, each reason once."""
        path = f"/clusters/{self.cluster_id}/executions/{execution['id']}"
        steps = (await self.gateway.call("GET", path))["steps"]
        left_out = (s["detail"] for s in steps if s["status"] in ("failed", "skipped") and s["detail"])
        for detail in dict.fromkeys(left_out):
            self.progress.say(f"Left out: {detail}")

    async def _kill_soon(self, name: str) -> None:
        """SIGKILL a part of the product while the plan is being carried out."""
        await self._until(
            lambda: self.world.get("/report"),
            lambda report: sum(report["launches_by_step"].values()) >= 1,
            "the first launch",
            seconds=SETTLING_SECONDS,
        )
        child = self.agent if name == "agent" else self.stack.children[name]
        if child is None or child.process is None:
            raise DemoError(f"{name} does not run, so it cannot be killed.")
        child.process.kill()
        self.progress.say(f"Killed {name} (SIGKILL).")

    async def _book(self) -> None:
        """Wait until the slices of the last execution are booked."""
        self.progress.doing("waiting for the books to close")
        path = f"/savings?cluster_id={self.cluster_id}"
        before = await self.gateway.call("GET", path)
        slices = sum(cluster["slices"] for cluster in before["clusters"])
        await self._until(
            lambda: self.gateway.call("GET", path),
            lambda now: sum(cluster["slices"] for cluster in now["clusters"]) > slices + 1,
            "savings to be booked",
            seconds=BOOKING_SECONDS,
        )

    async def _idle(self) -> None:
        """Wait until no execution is under way."""
        await self._until(
            lambda: self.gateway.call("GET", f"/clusters/{self.cluster_id}/executions"),
            lambda answer: all(e["status"] != "running" for e in answer["executions"]),
            "the end of all executions",
            seconds=EXECUTION_SECONDS,
        )

    async def _settled(self) -> None:
        """Wait until every pod runs and every node is Ready."""
        await self._until(
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

    async def _until(
        self,
        ask: Callable[[], Any],
        is_so: Callable[[Any], object],
        what: str,
        *,
        seconds: float,
    ) -> Any:
        """Ask until it is so.

        Raises:
            DemoError: it did not become so in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            answer = await ask()
            if is_so(answer):
                return answer
            if loop.time() > deadline:
                raise DemoError(
                    f"waited {seconds:.0f} s in vain for {what}; the logs are in {self.home.logs}"
                )
            await asyncio.sleep(POLL_SECONDS)


def _new(answer: dict[str, Any], known: set[str]) -> list[dict[str, Any]]:
    """Give the plans for savings that were not there before and have reached the gateway."""
    return [
        p
        for p in answer["plans"]
        if p["id"] not in known and p["trigger"] != "pending_pods" and p["is_approvable"]
    ]


def _usd(amount: str | None) -> str:
    """Show a cost; one that nobody knows is not zero."""
    return "unknown cost" if amount is None else f"${float(amount):.2f}/h"


def _agent(home: Home, agent_env: dict[str, str], kubeconfig: str) -> Child:
    env = {
        **os.environ,
        **agent_env,
        "AGENT_STATE_DIR": str(home.path / "agent"),
        "AGENT_KUBECONFIG": kubeconfig,
        "AGENT_HEARTBEAT_PERIOD": "PT5S",
        "PYTHONUNBUFFERED": "1",
    }
    (home.path / "agent").mkdir(mode=0o700, exist_ok=True)
    log = home.logs / "agent.log"
    return Child("agent", lambda: processes.spawn([sys.executable, "-m", "agent"], log=log, env=env))


async def run_demo(
    options: DemoOptions,
    *,
    home: Home,
    console: Console,
    until_stopped: Callable[[Access, Result], Awaitable[None]],
) -> Result:
    """Run a demo from nothing; with `keep`, hand over how to go on and wait.

    Raises:
        DemoError: it could not be carried through.
        StackError: the stack cannot run here.
    """
    workload = workloads.load(
        options.workload, pods=options.pods, cpu_only=options.cpu_only, seed=options.seed
    )
    home.open()
    progress = Progress(console)
    access = Access("", f"demo-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(18))
    world_options = WorldOptions(
        prices_file=options.prices,
        on_demand_file=options.on_demand,
        clock_factor=options.clock_factor,
        market_moves=not options.still_market,
        seed=options.seed,
    )
    progress.say("Starting the sandbox: AWS and a Kubernetes cluster, simulated behind their own protocols.")
    async with await World.start(
        home.path / "sandbox", world_options, log=home.logs / "sandbox.log"
    ) as world:
        env = {
            **world.aws_env(),
            **SERVICE_ENV,
            "PRICING_REGIONS": f'["{world.facts["region"]}"]',
            "PRICING_NOTICE_QUEUE_URL": world.facts["queue_url"],
            "PRICING_NOTICE_QUEUE_REGION": world.facts["region"],
            "PRICING_SPOT_ADVISOR_URL": world.facts["advisor_url"],
            "PRICING_PRICE_LIST_BULK_URL": "",  # a sandbox asks nobody outside
        }
        progress.say("Starting Postgres, nats-server and the five services.")
        running = await stack.start(home, stack.Options(env=env), _quietly)
        demo: Demo | None = None
        try:
            await running.wait_ready(_quietly)
            progress.say(f"The stack is ready; its API is at {running.gateway_url}.")
            async with Gateway(running.gateway_url) as gateway:
                demo = Demo(options, home, world, running, gateway, progress, access, workload)
                result = await demo.run()
                await progress.close()
            if options.keep:
                await until_stopped(Access(running.gateway_url, access.email, access.password), result)
            return result
        finally:
            await progress.close()
            if demo is not None and demo.agent is not None:
                await demo.agent.stop()
            await running.stop()


def _quietly(_name: str, _text: str) -> None:
    """Say nothing: logs hold it."""
