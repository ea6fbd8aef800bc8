"""The whole agent between a real nats-server and the sandbox's Kubernetes API."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import nats
import pytest

from agent.errors import EnrolmentRefusedError, MisconfiguredError
from deploy.local import nats_server
from deploy.local.ports import free_port
from deploy.sandbox.kubernetes.kinds import NODE, POD
from shared.contracts.v1.agent import (
    CordonNode,
    DeleteNode,
    DrainNode,
    OutcomeStatus,
    PatchRequests,
    ScaleWorkload,
)
from shared.kernel.workload import ObjectKind, Owner
from shared.runtime import streams
from tests.integration.agent.platform import Platform, platform, running_agent, settled
from tests.integration.sandbox_kubernetes.world import Lab, budget, lab, workload
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.sandbox, pytest.mark.slow]


def step(number: int) -> UUID:
    return UUID(int=number)


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def pods_on(world: Lab, node: str) -> list[str]:
    return [p["metadata"]["name"] for p in world.cluster.store.all(POD) if p["spec"].get("nodeName") == node]


def same_pods(world: Lab, told: Platform) -> bool:
    there = {
        f"default/{p['metadata']['name']}": p["spec"].get("nodeName") for p in world.cluster.store.all(POD)
    }
    return there == {key: pod.node_name for key, pod in told.of(ObjectKind.POD).items()}


async def test_what_the_platform_is_told_is_what_is_there(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        nodes = world.ready_nodes(2)
        world.cluster.apply(workload("Deployment", "web", replicas=6))
        world.cluster.apply(workload("DaemonSet", "logs"))
        world.cluster.apply(budget("web", "web", minAvailable=5))
        await settled(world)
        state = tmp_path / "state"
        async with running_agent(nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=state):
            await until(lambda: told.snapshots == 1)
            assert same_pods(world, told)
            assert set(told.of(ObjectKind.NODE)) == set(nodes)
            web = [p for p in told.of(ObjectKind.POD).values() if p.owner == Owner("Deployment", "web")]
            assert len(web) == 6
            assert told.of(ObjectKind.WORKLOAD)["default/DaemonSet/logs"].pod_template is not None
            assert told.of(ObjectKind.BUDGET)["default/web"].min_available == "5"
            new = world.ready_nodes(1)[0]
            await until(lambda: new in told.of(ObjectKind.NODE) and told.of(ObjectKind.NODE)[new].is_ready)
            await settled(world)
            await until(lambda: same_pods(world, told))
            assert told.gaps == 0
            await until(lambda: told.heartbeats and told.heartbeats[-1].sequence == told.held.sequence)
            await until(lambda: any(len(u.pods) >= 8 for u in told.usage))
            await told.ask_resync()
            await until(lambda: told.snapshots == 2)
            assert same_pods(world, told)
        assert told.enrolments[0].install_token.get_secret_value() == "install"
        assert stat.S_IMODE((state / "credential.json").stat().st_mode) == 0o600
        first_epoch = told.held.epoch
        again = {"nats_url": nats_url, "kubeconfig": world.cluster.kubeconfig, "state_dir": state}
        async with running_agent(**again, install_token=""):  # type: ignore[arg-type]
            await until(lambda: told.held.epoch > first_epoch)
        assert len(told.enrolments) == 1


async def test_commands_change_the_cluster_and_obey_budgets(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        nodes = world.ready_nodes(3)
        world.cluster.apply(workload("Deployment", "web", replicas=6))
        world.cluster.apply(budget("web", "web", maxUnavailable=1))
        await settled(world)
        victim = next(n for n in nodes if pods_on(world, n))
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ):
            await until(lambda: told.snapshots == 1)
            cordon = CordonNode(node_name=victim)
            assert (await told.command(cordon, step=step(1))).status is OutcomeStatus.SUCCEEDED
            drain = DrainNode(node_name=victim, deadline_at=soon(30))
            outcome = await told.command(drain, step=step(2))
            while outcome.status is OutcomeStatus.RUNNING:
                outcome = await told.command(drain, step=step(2))
            assert outcome.status is OutcomeStatus.SUCCEEDED, outcome
            assert outcome.pods_evicted > 0
            assert pods_on(world, victim) == []
            assert not world.cluster.journal.violations
            await until(lambda: told.of(ObjectKind.NODE)[victim].is_unschedulable)
            await until(lambda: [f.outcome.command_id for f in told.finished] == [step(1), step(2)])
            wrong = DeleteNode(node_name=victim, instance_id="i-ffffffff")
            assert (await told.command(wrong, step=step(3))).status is OutcomeStatus.FAILED
            scale = ScaleWorkload(
                namespace="default",
                workload_kind="Deployment",
                workload_name="web",
                replicas=2,
                expected_replicas=6,
            )
            assert (await told.command(scale, step=step(4))).status is OutcomeStatus.SUCCEEDED
            patch = PatchRequests(
                namespace="default",
                workload_kind="Deployment",
                workload_name="web",
                container="app",
                cpu_millicores=50,
            )
            assert (await told.command(patch, step=step(5))).status is OutcomeStatus.SUCCEEDED
            await until(
                lambda: (
                    {p.requests.cpu_millicores for p in told.of(ObjectKind.POD).values()} == {50}
                    and len(told.of(ObjectKind.POD)) == 2
                )
            )
            assert told.gaps == 0


async def test_a_drain_that_a_budget_blocks_leaves_the_node_as_it_was(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        (node,) = world.ready_nodes(1)
        world.cluster.apply(workload("Deployment", "web", replicas=1))
        world.cluster.apply(budget("web", "web", minAvailable=1))
        await settled(world)
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ):
            await until(lambda: told.heartbeats)
            drain = DrainNode(node_name=node, deadline_at=soon(1.2))
            outcome = await told.command(drain, step=step(1))
            assert outcome.status is OutcomeStatus.FAILED
            assert outcome.blocked_by[0].startswith("default/web-")
            found = world.cluster.store.get(NODE, "", node)
            assert not found["spec"].get("unschedulable")
            assert "spot-optimizer/cordoned-by" not in (found["metadata"].get("annotations") or {})
            assert len(pods_on(world, node)) == 1
        told.heartbeats.clear()  # the answer outlives the process
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ):
            await until(lambda: told.heartbeats)
            assert await told.command(drain, step=step(1)) == outcome


async def test_a_watch_that_lags_behind_the_history_lists_anew(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s", history_length=5) as world, platform(nats_url) as told:
        world.ready_nodes(2)
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ):
            await until(lambda: told.snapshots == 1)
            for number in range(5):
                world.cluster.apply(workload("Deployment", f"web-{number}", replicas=10))
            await settled(world)
            await until(lambda: same_pods(world, told))
            assert len(told.of(ObjectKind.POD)) == 50


async def test_the_credential_can_be_kept_in_a_secret(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        for _ in range(2):
            state = tmp_path / f"state-{len(told.heartbeats)}"
            told.heartbeats.clear()
            async with running_agent(
                nats_url=nats_url,
                kubeconfig=world.cluster.kubeconfig,
                state_dir=state,
                credential_secret="default/agent-credential",
            ):
                await until(lambda: told.heartbeats)
            assert not (state / "credential.json").exists()
        assert len(told.enrolments) == 1


async def test_a_connection_is_renewed_without_losing_a_change(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        world.ready_nodes(2)
        async with running_agent(
            nats_url=nats_url,
            kubeconfig=world.cluster.kubeconfig,
            state_dir=tmp_path / "state",
            credential_refresh=timedelta(milliseconds=200),
        ):
            await until(lambda: told.snapshots == 1)
            for number in range(3):
                world.cluster.apply(workload("Deployment", f"web-{number}", replicas=3))
                told.heartbeats.clear()
                await until(lambda: len(told.heartbeats) > 3)
            await until(lambda: same_pods(world, told))
            assert told.gaps == 0
            outcome = await told.command(CordonNode(node_name="nowhere"), step=step(1))
            assert outcome.detail == "there is no node nowhere"


async def test_a_refused_token_ends_the_agent_with_a_sentence(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        told.refuse_enrolment = True
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=tmp_path / "state"
        ) as task:
            with pytest.raises(EnrolmentRefusedError, match="the token was used"):
                await task
        assert not (tmp_path / "state" / "credential.json").exists()


async def test_a_bus_that_refuses_the_token_is_believed_after_a_while(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "nats.json"
    config.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "authorization": {"token": "another"}}))
    server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
    try:
        async with (
            lab(tmp_path / "k8s") as world,
            running_agent(
                nats_url=f"nats://127.0.0.1:{port}",
                kubeconfig=world.cluster.kubeconfig,
                state_dir=tmp_path / "state",
                refusal_patience=timedelta(seconds=2),
            ) as task,
        ):
            with pytest.raises(EnrolmentRefusedError, match="wrong, used or expired"):
                await task
    finally:
        server.stop()


async def test_without_a_token_or_a_cluster_there_is_a_sentence(nats_url: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("{")
    for kubeconfig in (tmp_path / "nowhere", broken):
        async with running_agent(
            nats_url=nats_url, kubeconfig=kubeconfig, state_dir=tmp_path / "state"
        ) as task:
            with pytest.raises(MisconfiguredError, match="no way to the Kubernetes API"):
                await task
    async with lab(tmp_path / "k8s") as world:
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        (state / "credential.json").write_text(json.dumps({"cluster_id": "c1"}))
        async with running_agent(
            nats_url=nats_url, kubeconfig=world.cluster.kubeconfig, state_dir=state
        ) as task:
            with pytest.raises(MisconfiguredError, match="is no credential"):
                await task


@pytest.mark.parametrize(("room", "snapshots"), [(64 * 2**20, 1), (64 * 2**10, 2)], ids=["fits", "too much"])
async def test_a_bus_that_was_away_is_told_what_it_missed(tmp_path: Path, room: int, snapshots: int) -> None:
    port = free_port()
    config = tmp_path / "nats.json"
    config.write_text(nats_server.bare_config_text(port=port, store=tmp_path / "store"))
    server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
    setup = await nats.connect(server.url)
    await streams.ensure(setup.jetstream())
    await setup.close()
    try:
        async with lab(tmp_path / "k8s") as world, platform(server.url) as before:
            world.ready_nodes(4)
            async with running_agent(
                nats_url=server.url,
                kubeconfig=world.cluster.kubeconfig,
                state_dir=tmp_path / "state",
                buffer_max_bytes=room,
            ):
                await until(lambda: before.heartbeats)
                server.stop()
                for number in range(15):
                    world.cluster.apply(workload("Deployment", f"web-{number}", replicas=10))
                await settled(world)
                server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
                async with platform(server.url) as told:
                    await until(lambda: same_pods(world, told))
                    assert len(told.of(ObjectKind.POD)) == 150
                    assert told.snapshots == snapshots
                    assert told.gaps == 0
    finally:
        server.stop()


async def test_the_process_stops_on_sigterm_and_goes_on_after_sigkill(nats_url: str, tmp_path: Path) -> None:
    async with lab(tmp_path / "k8s") as world, platform(nats_url) as told:
        world.ready_nodes(1)
        environment = os.environ | {
            "AGENT_NATS_URL": nats_url,
            "AGENT_CLUSTER_ID": "c1",
            "AGENT_INSTALL_TOKEN": "install",
            "AGENT_STATE_DIR": str(tmp_path / "state"),
            "AGENT_HEARTBEAT_PERIOD": "PT0.1S",
            "KUBECONFIG": str(world.cluster.kubeconfig),
        }
        errors = b""
        for number, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            told.heartbeats.clear()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent", env=environment, stderr=subprocess.PIPE
            )
            await until(lambda: told.heartbeats)
            process.send_signal(number)
            _, errors = await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == expected, errors.decode()[-2000:]
        assert b"agent_stopped" in errors
        assert b"Traceback" not in errors
        assert len(told.enrolments) == 1
