"""The whole sandbox as a process of its own: its summary, its control API, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.sandbox_kubernetes.world import budget, workload

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[tuple[dict[str, Any], asyncio.subprocess.Process]]:
    config, state = folder / "sandbox-config.json", folder / "state"
    config.write_text(json.dumps({"state_dir": str(state), "clock_factor": 600}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.sandbox", "--config", str(config)
    )
    try:
        async with asyncio.timeout(60):
            while not (state / "sandbox.json").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield json.loads((state / "sandbox.json").read_text()), process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await process.wait()


async def test_the_report_counts_what_happened(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as (summary, process), aiohttp.ClientSession(summary["control_url"]) as http:

        async def call(method: str, path: str, body: Any = None) -> Any:
            async with http.request(method, path, json=body) as response:
                return await response.json()

        async def settle() -> None:
            async with asyncio.timeout(20):
                while not (await call("GET", "/settled"))["settled"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        assert os.stat(summary["kubeconfig"]).st_mode & 0o777 == 0o600
        catalogue = await call("GET", "/catalogue?types=m5.xlarge")
        [facts] = catalogue["types"]
        assert facts["allocatable_cpu_millicores"] == 3920
        zone = summary["subnets"][0][1]
        assert facts["on_demand_usd_per_hour"][zone] > 0
        wanted = [
            {"instance_type": "m5.xlarge", "zone": zone, "capacity_type": kind}
            for kind in ("spot", "on-demand")
        ]
        await call("POST", "/nodes", {"instances": wanted, "instant": True})
        manifests = [workload("Deployment", "web", replicas=6), budget("web", "web", maxUnavailable=1)]
        assert await call("POST", "/manifests", {"manifests": manifests}) == {"created": 2}
        await settle()
        before = await call("GET", "/state")
        assert (before["nodes_ready"], before["pods_running"], before["pods_pending"]) == (2, 6, 0)
        assert before["instances"] == {"spot": 1, "on-demand": 1}
        assert before["usd_per_hour"] > 0
        await call("POST", "/mark", {"name": "start"})

        chosen = await call("POST", "/interrupt", {})
        async with asyncio.timeout(20):
            while (await call("GET", "/state"))["nodes"] == 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await settle()
        report = await call("GET", "/report")
        assert chosen["instance_id"] not in {item["instance_id"] for item in report["fleet"]}
        assert report["marks"]["start"]["nodes"] == 2
        assert (report["interruptions_injected"], report["interruptions_handled"]) == (1, 1)
        assert (report["pdb_violations"], report["unexpected_terminations"]) == (0, 0)
        assert report["pods_pending"] == 0
        assert "no running instance" in (await call("POST", "/interrupt", {}))["detail"]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert not (tmp_path / "state" / "sandbox.json").exists()


async def test_a_config_that_makes_no_sense_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"state_dir": "x", "clock_factor": -1}')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.sandbox", "--config", str(path), stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert error.decode().count("\n") == 1
    assert "clock_factor" in error.decode()
