"""The embedded stack as processes: what is kept, what is restarted, what ends with whom."""

import asyncio
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from deploy.local import postgres
from tests.integration.local.terminal import UP_SECONDS, Terminal
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.e2e, pytest.mark.slow]
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux's kernel ends children with their parent"
)

ADA = {"email": "ada@example.com", "password": "correct horse battery"}


async def post(url: str, path: str, body: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/api/v1/{path}", json=body) as answer:
        return answer.status


def open_to_others(folder: Path) -> list[str]:
    return [
        str(file)
        for file in folder.rglob("*")
        if file.is_file() and "key" not in file.name and stat.S_IMODE(file.stat().st_mode) & 0o077
    ]


@linux
async def test_what_people_stored_is_there_after_a_stop_and_after_a_kill(terminal: Terminal) -> None:
    state = await terminal.up()
    assert await post(state["gateway_url"], "auth/sign-up", {**ADA, "organization": "ours"}) == 201
    for name in ("secrets.json", "stack.json", "nats.json"):
        assert stat.S_IMODE((terminal.home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(terminal.home.stat().st_mode) == 0o700

    letters, doctor = await asyncio.gather(terminal.run("dlq", "list"), terminal.run("doctor", "-o", "json"))
    assert (letters.code, letters.out) == (0, "There are no dead letters.\n")
    assert doctor.code == 1
    assert [check["check"] for check in json.loads(doctor.out) if not check["ok"]] == ["pricing is ready"]
    status = await terminal.run("status", "-o", "yaml")
    assert status.code == 3
    assert [s["service"] for s in yaml.safe_load(status.out)["services"] if not s["ready"]] == ["pricing"]

    second = await terminal.run("up")
    assert (second.code, second.err.count("\n")) == (1, 1)
    assert second.err.startswith(f"error: a stack already runs in {terminal.home}")

    down = await terminal.run("down")
    assert (down.code, down.out) == (0, "Stopped.\n")
    await until(lambda: not terminal.processes())
    assert (await terminal.run("status")).code == 4

    addresses = state["gateway_url"], state["nats_url"]
    state = await terminal.up()
    assert (state["gateway_url"], state["nats_url"]) == addresses, "agents and people know these"
    assert await post(state["gateway_url"], "auth/log-in", ADA) == 200
    os.kill(state["pid"], signal.SIGKILL)

    state = (
        await terminal.up()
    )  # over a stale stack.json and postmaster.pid, while servers may still be ending
    assert await post(state["gateway_url"], "auth/log-in", ADA) == 200
    os.kill(state["pid"], signal.SIGKILL)
    await until(lambda: not terminal.processes(), seconds=10)


@linux
async def test_every_part_is_started_again_when_it_is_killed(terminal: Terminal) -> None:
    state = await terminal.up()
    parts = ("postgres", "nats", "gateway", "pricing", "optimizer", "executor", "reporting")
    before = {part: terminal.process_of(part) for part in parts}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_new() -> bool:
        try:
            return all(terminal.process_of(part) != pid for part, pid in before.items())
        except ValueError:
            return False

    await until(all_new, seconds=30)
    await until(terminal.works, seconds=60)
    assert await post(state["gateway_url"], "auth/sign-up", {**ADA, "organization": "ours"}) == 201
    assert (await terminal.run("down")).code == 0
    log = (terminal.home / "logs" / "up.log").read_text()
    for part in parts:
        assert f"{part:<10}" in log
    assert "ended with signal SIGKILL; starting it again" in log


@linux
async def test_a_full_disk_is_one_sentence(terminal: Terminal) -> None:
    """Three megabytes hold the secrets, not a database."""
    disk = terminal.open_root
    disk.mkdir()
    mount = await asyncio.create_subprocess_exec(
        *("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk), stderr=asyncio.subprocess.DEVNULL
    )
    if await mount.wait():
        pytest.skip("only an administrator can make a small disk")
    try:
        terminal.home, terminal.open_root = disk / "home", disk / "open root"
        ended = await terminal.run("up")
    finally:
        await (await asyncio.create_subprocess_exec("umount", "--lazy", disk)).wait()
    assert ended.code == 1
    assert re.search(r"^error: initdb failed in .*: No space left on device\.$", ended.err, re.MULTILINE)


@linux
async def test_a_signal_during_the_start_leaves_nothing_behind(terminal: Terminal) -> None:
    process = await terminal.begin("up")
    await until((terminal.home / "secrets.json").exists)
    process.send_signal(signal.SIGTERM)  # a job in the background ignores SIGINT
    async with asyncio.timeout(UP_SECONDS):
        _, err = await process.communicate()
    assert b"Traceback" not in err
    assert process.returncode == 0
    assert not terminal.processes()


async def test_a_stack_uses_the_database_and_the_bus_it_is_given(
    terminal: Terminal, postgres_server: postgres.Server, postgres_url: str, nats_url: str
) -> None:
    terminal.extra = {"SPOTOPT_DATABASE_URL": postgres_url, "SPOTOPT_NATS_URL": nats_url}
    state = await terminal.up()
    assert state["nats_url"] == nats_url
    assert not (terminal.home / "postgres").exists()
    assert not (terminal.home / "jetstream").exists()
    assert await post(state["gateway_url"], "auth/sign-up", {**ADA, "organization": "ours"}) == 201
    assert postgres_server.password not in (terminal.home / "logs" / "up.log").read_text()
    assert (await terminal.run("down")).code == 0
