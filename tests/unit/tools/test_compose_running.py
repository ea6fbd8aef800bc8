"""What docker-compose.yml tells each part is enough for it to start: the same variables, without containers."""

import asyncio
import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.local import nats_server, postgres, processes, schemas
from deploy.local.ports import free_port
from deploy.tools import docker_env, nats_config
from tests import waiting

pytestmark = [pytest.mark.nats, pytest.mark.postgres, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
PARTS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([?-])([^}]*))?\}")


def told(part: str, env: Mapping[str, str], hosts: Mapping[str, str]) -> dict[str, str]:
    """Give a part's variables as compose would, with containers' names replaced by real addresses."""

    def value_of(match: re.Match[str]) -> str:
        value = env.get(match[1]) or (match[3] if match[2] == "-" else "")
        assert value, f"{part}: {match[1]} is not set"
        return value

    found: dict[str, str] = {}
    for name, text in PARTS[part]["environment"].items():
        value = env.get(name, "") if text is None else VARIABLE.sub(value_of, text)
        for container, address in hosts.items():
            value = value.replace(container, address)
        found[name] = value
    return found


@pytest.fixture
def env() -> dict[str, str]:
    lines = docker_env.filled(docker_env.EXAMPLE.read_text()).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture
async def bus(env: dict[str, str], tmp_path: Path) -> AsyncIterator[nats_server.Server]:
    """nats-server on the written configuration, but for its ports."""
    port = free_port()
    config = json.loads(nats_config.config(env, store=tmp_path / "jetstream"))
    config |= {"listen": f"127.0.0.1:{port}", "http": f"127.0.0.1:{free_port()}"}
    (tmp_path / "nats.json").write_text(json.dumps(config))
    server = await nats_server.start(tmp_path / "nats.json", port=port, log=tmp_path / "nats.log")
    yield server
    server.stop()


@pytest.fixture
async def hosts(
    bus: nats_server.Server, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """Where each container's address really is; the database has nothing in it yet."""
    folder = tmp_path_factory.mktemp("database")
    server = await postgres.start(folder / "postgres", log=folder / "postgres.log", throwaway=True)
    env["POSTGRES_PASSWORD"] = server.password
    yield {
        "spot_admin:": f"{postgres.ADMIN}:",
        "@postgres:5432/spot": f"@127.0.0.1:{server.port}/{postgres.DATABASE}",
        "nats:4222": f"127.0.0.1:{bus.port}",
    }
    server.stop()
    postgres.remove(folder / "postgres")


@contextlib.contextmanager
def running(part: str, variables: Mapping[str, str], log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "deploy.cli.main", *PARTS[part].get("command", ["serve", part])]
    process = processes.spawn(command, log=log, env={"PATH": os.environ["PATH"], **variables})
    try:
        yield
    finally:
        processes.stop(process)


async def migrate(variables: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.cli.main", *PARTS["migrate"]["command"]),
        env={"PATH": os.environ["PATH"], **variables},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_every_service_is_healthy_and_ready_on_what_compose_tells_it(
    env: dict[str, str], hosts: dict[str, str], tmp_path: Path
) -> None:
    assert "changes made" in await migrate(told("migrate", env, hosts))
    assert "up to date" in await migrate(told("migrate", env, hosts)), "migrating again changes nothing"
    ports = {name: free_port() for name in schemas.SERVICES}
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            own = {f"{name.upper()}_HEALTH_PORT": str(port), "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
            if name == "gateway":
                own["GATEWAY_HTTP_PORT"] = "0"
            stack.enter_context(running(name, {**told(name, env, hosts), **own}, tmp_path / f"{name}.log"))
        async with aiohttp.ClientSession() as http:
            for name, port in ports.items():
                await waiting.until(functools.partial(status, http, port, "healthz"), is_=200, seconds=60)
                if name != "pricing":  # it is not ready before AWS has answered
                    await waiting.until(functools.partial(status, http, port, "readyz"), is_=200, seconds=60)


async def status(http: aiohttp.ClientSession, port: int, path: str) -> int | None:
    try:
        async with http.get(f"http://127.0.0.1:{port}/{path}") as answer:
            return answer.status
    except aiohttp.ClientError:
        return None
