"""The whole stack on one machine: bus, database and the five services, supervised until told to stop."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from deploy.local import nats_server, postgres, processes, schemas
from deploy.local.errors import StackError
from deploy.local.home import Home, Secrets
from deploy.local.ports import free_port
from deploy.local.schemas import SERVICES
from deploy.local.supervisor import Child

READY_SECONDS = 90
POLL_SECONDS = 0.1

A = TypeVar("A")
B = TypeVar("B")

Told = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the one who starts it may choose."""

    env: Mapping[str, str] = field(default_factory=dict)
    """Added to every service's environment: AWS_*, <SERVICE>_*."""
    gateway_port: int = 0
    """0: a free one, the same each time while it stays free."""
    database_url: str | None = None
    """An administrator's URL of a Postgres elsewhere; None: the embedded one."""
    nats_url: str | None = None
    """A bus elsewhere, whose users are the services' names; None: the embedded one."""
    nats_password: str | None = None
    """Of all users of that bus."""


@dataclass
class Stack:
    """What runs."""

    home: Home
    gateway_url: str
    nats_url: str
    health_ports: dict[str, int]
    children: dict[str, Child] = field(default_factory=dict)

    async def stop(self) -> None:
        """Stop in order: services, then the bus, then the database."""
        services = [child for name, child in self.children.items() if name in SERVICES]
        await asyncio.gather(*(child.stop() for child in services))
        for name in ("nats", "postgres"):
            if name in self.children:
                await self.children[name].stop()
        self.home.state_file.unlink(missing_ok=True)
        self.home.unlock()

    async def reasons(self) -> dict[str, str | None]:
        """Give why each part cannot work; None: it can."""
        found: dict[str, str | None] = {
            name: "it does not run" if child.process is None or child.process.poll() is not None else None
            for name, child in self.children.items()
            if name not in self.health_ports
        }
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            answers = await asyncio.gather(*(unready_reason(http, p) for p in self.health_ports.values()))
        return found | dict(zip(self.health_ports, answers, strict=True))

    async def wait_ready(self, told: Told, *, seconds: float = READY_SECONDS) -> None:
        """Wait until every service can work.

        Raises:
            StackError: one cannot; the message holds its reasons.
        """
        waiting = dict.fromkeys(SERVICES, "not asked yet")
        deadline = asyncio.get_running_loop().time() + seconds
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            while waiting:
                for name in list(waiting):
                    reason = await unready_reason(http, self.health_ports[name])
                    if reason is None:
                        del waiting[name]
                        told(name, "ready")
                    else:
                        waiting[name] = reason
                if waiting and asyncio.get_running_loop().time() > deadline:
                    name, reason = next(iter(waiting.items()))
                    log = processes.tail(self.home.logs / f"{name}.log", 3)
                    raise StackError(f"{name} is not ready after {seconds:.0f} s: {reason}\n{log}")
                await asyncio.sleep(POLL_SECONDS)


async def unready_reason(http: aiohttp.ClientSession, port: int) -> str | None:
    """Ask a service whether it can work; None: it can."""
    try:
        async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
            body = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return "it does not answer"
    reasons: dict[str, str] = body.get("reasons", {})
    return "; ".join(f"{k}: {v}" for k, v in reasons.items()) or None if reasons else None


async def start(home: Home, options: Options, told: Told) -> Stack:
    """Start everything, ready or not yet; on failure stop what was started.

    Raises:
        StackError: something cannot run; the message says what, and what to do.
    """
    home.open()
    await home.lock()
    stack = Stack(home=home, gateway_url="", nats_url="", health_ports={})
    try:
        port = _gateway_port(home, options.gateway_port)
        stack.gateway_url = f"http://127.0.0.1:{port}"
        stack.health_ports |= {name: free_port() for name in SERVICES}
        secrets = home.secrets()
        database_urls, bus_passwords = await _both(
            _start_database(stack, options, secrets, told), _start_bus(stack, options, secrets, told)
        )
        for name in SERVICES:
            env = {
                **os.environ,
                **_service_env(name, stack, secrets, database_urls[name], bus_passwords[name], port),
                **options.env,
            }
            stack.children[name] = Child(name, _spawner(name, env, home.logs / f"{name}.log"))
            stack.children[name].start(told)
        _write_state(stack)
    except BaseException:
        await stack.stop()
        raise
    return stack


async def _both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Do two things at once; when one fails or is given up, the other has ended before anybody hears of it."""
    tasks = (asyncio.ensure_future(first), asyncio.ensure_future(second))
    try:
        return await tasks[0], await tasks[1]
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _gateway_port(home: Home, wanted: int) -> int:
    if not wanted:
        return home.usual_port("gateway")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise StackError(
                f"port {wanted} cannot be used: {error.strerror}; choose another one with --port."
            ) from error
    return wanted


async def _start_database(stack: Stack, options: Options, secrets: Secrets, told: Told) -> dict[str, str]:
    """Start or find Postgres and migrate it; return each service's URL."""
    if options.database_url is not None:
        admin_url = options.database_url
        urls = {name: _for_role(admin_url, name, secrets.database[name]) for name in SERVICES}
    else:
        folder, log = stack.home.path / "postgres", stack.home.logs / "postgres.log"
        held = stack.home.lock_descriptors
        server = await postgres.start(folder, log=log, keep_open=held)
        told("postgres", f"runs on port {server.port}")
        data = postgres.place_of(folder) / "data"
        child = Child(
            "postgres",
            lambda: postgres.spawn(data, port=server.port, log=log, keep_open=held),
            stop_signal=postgres.STOP_SIGNAL,
            process=server.process,
        )
        stack.children["postgres"] = child
        child.start(told)
        admin_url = server.admin_url
        urls = {name: server.url(name, secrets.database[name]) for name in SERVICES}
    applied = await schemas.migrate_database(admin_url, secrets.database)
    if applied:
        told("postgres", f"{len(applied)} migrations applied")
    return urls


def _for_role(url: str, role: str, password: str) -> str:
    """Give the URL with another user."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise StackError(f"the database's URL is none: {error}.") from error
    return parts._replace(netloc=f"{role}:{urllib.parse.quote(password, safe='')}@{host}").geturl()


async def _start_bus(stack: Stack, options: Options, secrets: Secrets, told: Told) -> dict[str, str]:
    """Start or find nats-server and make its streams; return each user's password."""
    if options.nats_url is not None:
        stack.nats_url = options.nats_url
        passwords = dict.fromkeys(secrets.bus, options.nats_password or "")
    else:
        passwords = dict(secrets.bus)
        port = stack.home.usual_port("nats")
        config, log = stack.home.path / "nats.json", stack.home.logs / "nats.log"
        held = stack.home.lock_descriptors
        text = nats_server.config_text(
            port=port,
            store=stack.home.path / "jetstream",
            passwords=passwords,
            services=SERVICES,
            callout_issuer=secrets.callout_issuer,
        )
        stack.home.write(config, text)
        server = await nats_server.start(config, port=port, log=log, keep_open=held)
        stack.nats_url = server.url
        told("nats", f"runs on port {port}")
        child = Child(
            "nats", lambda: nats_server.spawn(config, log=log, keep_open=held), process=server.process
        )
        stack.children["nats"] = child
        child.start(told)
    made = await schemas.migrate_bus(
        stack.nats_url, user=nats_server.ADMIN, password=passwords[nats_server.ADMIN]
    )
    if made:
        told("nats", f"{len(made)} streams and consumers made")
    return passwords


def _service_env(
    name: str, stack: Stack, secrets: Secrets, database_url: str, bus_password: str, gateway_port: int
) -> dict[str, str]:
    """Give what a service must be told; nobody gets another's secrets."""
    prefix = name.upper()
    env = {
        f"{prefix}_DATABASE_URL": database_url,
        f"{prefix}_NATS_URL": stack.nats_url,
        f"{prefix}_NATS_USER": name,
        f"{prefix}_NATS_PASSWORD": bus_password,
        f"{prefix}_HEALTH_PORT": str(stack.health_ports[name]),
        "PYTHONUNBUFFERED": "1",
    }
    if name == "gateway":
        env |= {
            "GATEWAY_HTTP_PORT": str(gateway_port),
            "GATEWAY_AGENT_NATS_URL": stack.nats_url,
            "GATEWAY_JWT_SECRET": secrets.jwt_secret,
            "GATEWAY_SECRETS_KEY": secrets.gateway_key,
            "GATEWAY_CALLOUT_ISSUER_SEED": secrets.callout_seed,
            "GATEWAY_NATS_ACCOUNT": nats_server.ACCOUNT,
        }
    if name == "executor":
        env["EXECUTOR_SECRETS_KEY"] = secrets.executor_key
    return env


def _spawner(name: str, env: Mapping[str, str], log: Path) -> Callable[[], "processes.Process"]:
    """A killed parent takes its services along at once: they must be able to die at any line anyway."""
    command = [sys.executable, "-m", f"services.{name}"]
    return lambda: processes.spawn(command, log=log, env=env, death_signal=signal.SIGKILL)


def _write_state(stack: Stack) -> None:
    state = {
        "pid": os.getpid(),
        "gateway_url": stack.gateway_url,
        "nats_url": stack.nats_url,
        "health_ports": stack.health_ports,
    }
    stack.home.write(stack.home.state_file, json.dumps(state, indent=2))
