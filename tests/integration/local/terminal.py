"""A stack in a home of its own, used as people use it: by commands."""

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from deploy.local import stack
from tests.waiting import until

UP_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class Terminal:
    """Runs `spotopt` with an environment of its own."""

    home: Path
    open_root: Path
    extra: dict[str, str] = field(default_factory=dict)
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "COVERAGE_PROCESS_START") if key in os.environ}
        return {
            **kept,
            "SPOTOPT_HOME": str(self.home),
            "SPOTOPT_OPEN_ROOT": str(self.open_root),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            **self.extra,
        }

    async def begin(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command and leave it running."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli.main", *arguments),
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.running.append(process)
        return process

    async def run(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        process = await self.begin(*arguments)
        async with asyncio.timeout(UP_SECONDS):
            out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def up(self, *arguments: str) -> dict[str, Any]:
        """Start the stack in the background; return its state when all but pricing, which has no AWS, can work."""
        ended = await self.run("up", "-d", *arguments)
        assert ended.code == 0, ended.err
        await until(self.works, seconds=UP_SECONDS)
        return self.state()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        return state

    async def works(self) -> bool:
        """Whether all but pricing can work; asked here, since a `spotopt status` each time takes the CPU they need."""
        ports = {name: port for name, port in self.state()["health_ports"].items() if name != "pricing"}
        async with aiohttp.ClientSession() as http:
            reasons = await asyncio.gather(*(stack.unready_reason(http, port) for port in ports.values()))
        return all(reason is None for reason in reasons)

    def processes(self) -> dict[int, str]:
        """Every process of this home: its id and command, found by what it was started with."""
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            ours = f"SPOTOPT_HOME={self.home}\0" in environment or str(self.home) in command
            if command and (ours or str(self.open_root) in command):
                found[int(folder.name)] = command.replace("\0", " ")
        return found

    def process_of(self, part: str) -> int:
        """Id of the process that runs a service, `postgres` or `nats`."""
        pattern = {"postgres": r"bin/postgres -D", "nats": r"nats-server -c"}.get(
            part, rf"services\.{part}\b"
        )
        (pid,) = [pid for pid, command in self.processes().items() if re.search(pattern, command)]
        return pid

    async def close(self) -> None:
        """End everything of this home."""
        for process in self.running:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await until(lambda: not self.processes())
