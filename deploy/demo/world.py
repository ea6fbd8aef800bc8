"""The sandbox as the demo sees it: a child process and its control API."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.demo.errors import DemoError, DemoInputError
from deploy.local import processes

START_SECONDS = 120
POLL_SECONDS = 0.1
INPUT_EXIT_CODE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """What the sandbox is to be."""

    prices_file: Path | None
    on_demand_file: Path | None
    clock_factor: float
    market_moves: bool
    seed: int


def _write_config(folder: Path, options: WorldOptions) -> Path:
    """Write the sandbox's configuration; what an earlier one left must not look like an answer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sandbox.json").unlink(missing_ok=True)
    config = {
        "state_dir": str(folder),
        "prices_file": str(options.prices_file.absolute()) if options.prices_file else None,
        "on_demand_file": str(options.on_demand_file.absolute()) if options.on_demand_file else None,
        "clock_factor": options.clock_factor,
        "market_moves": options.market_moves,
        "seed": options.seed,
    }
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return file


class World:
    """A running sandbox."""

    def __init__(self, process: processes.Process, facts: dict[str, Any]) -> None:
        self._process = process
        self.facts = facts
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300))

    @classmethod
    async def start(cls, folder: Path, options: WorldOptions, *, log: Path) -> Self:
        """Start it and wait until it is ready.

        Raises:
            DemoInputError: a price file cannot be used.
            DemoError: it does not start.
        """
        ready = folder / "sandbox.json"
        config = _write_config(folder, options)
        process = processes.spawn([sys.executable, "-m", "deploy.sandbox", "--config", config], log=log)
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            if process.poll() is not None:
                said = processes.tail(log, 1)
                failure = DemoInputError if process.returncode == INPUT_EXIT_CODE else DemoError
                raise failure(said or f"the sandbox ended with exit code {process.returncode}")
            if ready.exists():
                return cls(process, json.loads(ready.read_text()))
            await asyncio.sleep(POLL_SECONDS)
        processes.stop(process)
        raise DemoError(f"the sandbox was not ready within {START_SECONDS} s; see {log}")

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self._http.close()
        await asyncio.to_thread(processes.stop, self._process)

    async def get(self, path: str) -> Any:
        """Ask the control API."""
        return await self._call("GET", path, None)

    async def post(self, path: str, body: Any) -> Any:
        """Tell the control API."""
        return await self._call("POST", path, body)

    async def _call(self, method: str, path: str, body: Any) -> Any:
        try:
            async with self._http.request(method, self.facts["control_url"] + path, json=body) as answer:
                given = await answer.json()
        except aiohttp.ClientError as error:
            raise DemoError(f"the sandbox does not answer: {error}") from error
        if answer.status >= 400:
            raise DemoError(f"the sandbox refuses {path}: {given.get('detail', given)}")
        return given

    def aws_env(self) -> dict[str, str]:
        """Give the environment of AWS clients of the platform's account."""
        credentials = self.facts["platform_credentials"]
        return {
            "AWS_ENDPOINT_URL": self.facts["aws_url"],
            "AWS_ACCESS_KEY_ID": credentials["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": credentials["secret_access_key"],
            "AWS_DEFAULT_REGION": self.facts["region"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
