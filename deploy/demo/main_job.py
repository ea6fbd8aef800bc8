"""The main job, from an expensive cluster to booked savings, in the order in which it happens."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from deploy.demo import workloads
from deploy.demo.errors import DemoError
from deploy.demo.filling import SETTLING_SECONDS, Filling
from deploy.demo.gateway import Gateway
from deploy.demo.options import Access, DemoOptions
from deploy.demo.progress import Progress
from deploy.demo.result import Result, result_of
from deploy.demo.waiting import Patience
from deploy.demo.world import World
from deploy.local import processes, stack
from deploy.local.home import Home
from deploy.local.supervisor import Child

PLANNING_SECONDS = 180
EXECUTION_SECONDS = 1200
BOOKING_SECONDS = 90
POLICY = {"max_disrupted_nodes_ratio": 0.34, "drain_deadline_seconds": 120, "stabilization_seconds": 0}


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
    filling: Filling
    patience: Patience
    cluster_id: str = ""
    agent: Child | None = None

    async def run(self) -> Result:
        """Do it all and count what came of it."""
        chosen = self.workload
        self.progress.say(f"Market: {self.world.facts['market']}.")
        self.progress.say(f"Workload: {chosen.source}, {chosen.pods} pods.")
        for note in chosen.notes:
            self.progress.say(f"Note: {note}.")
        await self.filling.fill(chosen, idle_share=self.options.idle_share)
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
        await self.patience.until(
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
        await self.patience.until(
            lambda: self.world.get("/report"),
            lambda report: report["terminations"] > before,
            "the end of the interrupted instance",
            seconds=SETTLING_SECONDS,
        )
        await self._idle()
        await self.filling.settled()
        report = await self.world.get("/report")
        self.progress.say(
            f"{report['interruptions_handled']} of {report['interruptions_injected']} interruptions handled."
        )
        plan = await self._plan()
        if plan is not None:
            await self._carry_out(plan)
        await self.filling.settled()

    async def _plan(self) -> dict[str, Any] | None:
        """Ask for a plan; None when planning says that nothing is worth changing."""
        self.progress.doing("planning")
        path = f"/clusters/{self.cluster_id}/plans"
        before = await self.gateway.call("GET", path)
        known = {plan["id"] for plan in before["plans"]}
        await self.gateway.call("POST", f"/clusters/{self.cluster_id}/optimize")

        def is_answered(answer: dict[str, Any]) -> bool:
            return bool(_new(answer, known)) or answer["last_skip_at"] != before["last_skip_at"]

        answer = await self.patience.until(
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

        answer = await self.patience.until(
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
        await self.filling.settled()

    async def _tell_trouble(self, execution: dict[str, Any]) -> None:
        """Say why steps were left out, each reason once."""
        path = f"/clusters/{self.cluster_id}/executions/{execution['id']}"
        steps = (await self.gateway.call("GET", path))["steps"]
        left_out = (s["detail"] for s in steps if s["status"] in ("failed", "skipped") and s["detail"])
        for detail in dict.fromkeys(left_out):
            self.progress.say(f"Left out: {detail}")

    async def _kill_soon(self, name: str) -> None:
        """SIGKILL a part of the product while the plan is being carried out."""
        await self.patience.until(
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
        await self.patience.until(
            lambda: self.gateway.call("GET", path),
            lambda now: sum(cluster["slices"] for cluster in now["clusters"]) > slices + 1,
            "savings to be booked",
            seconds=BOOKING_SECONDS,
        )

    async def _idle(self) -> None:
        """Wait until no execution is under way."""
        await self.patience.until(
            lambda: self.gateway.call("GET", f"/clusters/{self.cluster_id}/executions"),
            lambda answer: all(e["status"] != "running" for e in answer["executions"]),
            "the end of all executions",
            seconds=EXECUTION_SECONDS,
        )


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
