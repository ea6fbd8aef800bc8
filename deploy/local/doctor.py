"""What may be wrong with an installation, each with what to do."""

import os
import shutil
from dataclasses import dataclass

import aiohttp
from nats.errors import Error as NatsError

from deploy.local import nats_server, postgres
from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.schemas import reason
from deploy.local.stack import unready_reason
from shared.runtime import streams

LEAST_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    advice: str = ""


async def examine(home: Home) -> list[Finding]:
    """Check the machine first, then what runs on it."""
    found = [_binaries(), _folder(home), _credentials()]
    if home.path.is_dir():
        found.append(_disk(home))
    state = home.state()
    if state is None:
        return [*found, Finding("stack", ok=True, advice="nothing runs; `spotopt up` starts it")]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
        for name, port in state["health_ports"].items():
            trouble = await unready_reason(http, port)
            found.append(
                Finding(
                    f"{name} is ready",
                    trouble is None,
                    f"{trouble}; see {home.logs}/{name}.log" if trouble else "",
                )
            )
    found.append(await _dead_letters(home, state["nats_url"]))
    return found


def _binaries() -> Finding:
    try:
        postgres.binaries()
        nats_server.binary()
    except (StackError, OSError) as error:
        return Finding("servers are installed", ok=False, advice=str(error))
    return Finding("servers are installed", ok=True)


def _folder(home: Home) -> Finding:
    try:
        home.open()
    except StackError as error:
        return Finding("state folder", ok=False, advice=str(error))
    mode = home.path.stat().st_mode & 0o077
    return Finding("state folder is private", not mode, f"chmod 700 {home.path}" if mode else "")


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.path).free
    advice = f"{free // 2**20} MiB are free at {home.path}; make room or set SPOTOPT_HOME to another disk"
    return Finding(
        "2 GiB of disk are free", free >= LEAST_FREE_BYTES, "" if free >= LEAST_FREE_BYTES else advice
    )


def _credentials() -> Finding:
    names = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    given = any(os.environ.get(name) for name in names)
    advice = (
        "none in this environment: where no instance role gives them, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY, then `spotopt down` and `spotopt up`; without any, pricing has no prices"
    )
    return Finding("AWS credentials", ok=True, advice="" if given else advice)


async def _dead_letters(home: Home, nats_url: str) -> Finding:
    password = os.environ.get("SPOTOPT_NATS_PASSWORD") or home.secrets().bus[nats_server.ADMIN]
    try:
        client = await streams.connect(nats_url, user=nats_server.ADMIN, password=password, name="doctor")
        try:
            count = (await client.jetstream().stream_info(streams.DLQ_STREAM)).state.messages
        finally:
            await client.close()
    except (OSError, NatsError) as error:
        return Finding("bus", ok=False, advice=f"nats-server at {nats_url} does not answer: {reason(error)}")
    return Finding(
        "no dead letters", count == 0, f"{count} in the stream; see `spotopt dlq list`" if count else ""
    )
