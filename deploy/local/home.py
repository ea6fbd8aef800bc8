"""Where the embedded stack keeps its state: one folder, closed to others, with its secrets beside its data.

What runs is known by a lock, not by a process id in a file: ids are used again, files outlive a crash. The
servers inherit the lock, so that a second stack never opens data which a dying server still writes.
"""

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nkeys
from nacl.signing import SigningKey

from deploy.local import nats_server
from deploy.local.errors import StackError
from deploy.local.ports import free_port
from deploy.local.schemas import SERVICES

LEFTOVER_SECONDS = 15.0
"""How long servers of a killed stack may take to end."""

POLL_SECONDS = 0.1


def default_home() -> Path:
    """Give $SPOTOPT_HOME, or the XDG state folder."""
    chosen = os.environ.get("SPOTOPT_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "spot-optimizer"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only this installation knows."""

    database: Mapping[str, str]
    """Password of each service's role."""
    bus: Mapping[str, str]
    """Password of each service's user, and the admin's."""
    jwt_secret: str
    gateway_key: str
    """Hex, 32 bytes: encrypts what the gateway stores."""
    executor_key: str
    """Hex, 32 bytes: encrypts the executor's signing keys."""
    callout_seed: str
    """NKey seed of the account that signs agents' bus tokens."""

    @property
    def callout_issuer(self) -> str:
        """Public key of that account."""
        pair = nkeys.from_seed(bytearray(self.callout_seed.encode()))
        return str(pair.public_key.decode())


class Home:
    """The folder, and the names in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self._own_lock: IO[str] | None = None

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        """What runs now; after a crash, what ran."""
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Locked while a stack runs."""
        return self.path / "lock"

    @property
    def own_lock_file(self) -> Path:
        """Locked while the process that supervises a stack lives; its servers may outlive it for a moment."""
        return self.path / "supervisor.lock"

    @property
    def lock_descriptors(self) -> tuple[int, ...]:
        """What a server inherits to keep the lock for as long as it lives."""
        return () if self._lock is None else (self._lock.fileno(),)

    def open(self) -> None:
        """Make the folders.

        Raises:
            StackError: they cannot be made; the message says why.
        """
        try:
            for folder in (self.path, self.logs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.lock_file.open("a"):
                pass
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be used: {error.strerror}. Set SPOTOPT_HOME to a folder you may write to."
            ) from error

    async def lock(self, *, leftover_seconds: float = LEFTOVER_SECONDS) -> None:
        """Keep a second stack out for the life of this process and the servers it starts.

        Raises:
            StackError: another stack holds it, or what is left of one.
        """
        handle = self.lock_file.open("a")
        deadline = asyncio.get_running_loop().time() + leftover_seconds
        while not _locked(handle, fcntl.LOCK_EX):
            runs = self.state() is not None
            if runs or asyncio.get_running_loop().time() > deadline:
                handle.close()
                raise StackError(
                    f"a stack already runs in {self.path}; see `spotopt status`, or stop it with `spotopt down`."
                    if runs
                    else f"{self.path} is in use: another stack is starting or stopping there, or a killed one "
                    "left its Postgres or nats-server behind; end those first."
                )
            await asyncio.sleep(POLL_SECONDS)
        self._lock = handle
        self.state_file.unlink(missing_ok=True)  # of a stack that was killed
        self._own_lock = self.own_lock_file.open("a")
        fcntl.flock(self._own_lock, fcntl.LOCK_EX)  # at most for the moment in which somebody looks at it

    def unlock(self) -> None:
        """Let others in."""
        for held in (self._own_lock, self._lock):
            if held is not None:
                held.close()
        self._own_lock = self._lock = None

    def secrets(self) -> Secrets:
        """Read the secrets; those that are missing are made.

        Raises:
            StackError: the file is damaged; what it protected cannot be read without it.
        """
        file = self.path / "secrets.json"
        kept: dict[str, Any] = {}
        if file.exists():
            try:
                kept = json.loads(file.read_text())
            except (OSError, ValueError) as error:
                raise StackError(f"{file} cannot be read ({error}); restore it from a backup.") from error
        names = (*SERVICES, nats_server.ADMIN)
        made: dict[str, Any] = {
            "database": {name: secrets.token_urlsafe(24) for name in SERVICES} | kept.get("database", {}),
            "bus": {name: secrets.token_urlsafe(24) for name in names} | kept.get("bus", {}),
            "jwt_secret": kept.get("jwt_secret") or secrets.token_urlsafe(48),
            "gateway_key": kept.get("gateway_key") or secrets.token_hex(32),
            "executor_key": kept.get("executor_key") or secrets.token_hex(32),
            "callout_seed": kept.get("callout_seed") or _account_seed(),
        }
        if made != kept:
            self.write(file, json.dumps(made, indent=2))
        return Secrets(**made)

    def usual_port(self, name: str) -> int:
        """Give the port of last time while it is free, else another one: agents and people keep our addresses.

        Raises:
            StackError: it cannot be written down.
        """
        file = self.path / "ports.json"
        try:
            kept = {key: port for key, port in json.loads(file.read_text()).items() if isinstance(port, int)}
        except (OSError, ValueError, AttributeError):
            kept = {}
        port = free_port(kept.get(name, 0))
        if kept.get(name) != port:
            self.write(file, json.dumps({**kept, name: port}, indent=2))
        return port

    def write(self, file: Path, text: str) -> None:
        """Replace a file at once and for good, readable by its owner only.

        Raises:
            StackError: the disk is full, or the folder is gone.
        """
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            unfinished.touch(mode=0o600)
            with unfinished.open("w") as output:
                output.write(text)
                output.flush()
                os.fsync(output.fileno())
            unfinished.replace(file)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise StackError(f"{file} cannot be written: {error.strerror}.") from error

    def state(self) -> dict[str, Any] | None:
        """Read what runs, None when nothing does."""
        try:
            with self.own_lock_file.open() as handle:
                if _locked(handle, fcntl.LOCK_SH):
                    return None
            state: dict[str, Any] = json.loads(self.state_file.read_text())
            os.kill(state["pid"], 0)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return state


def _locked(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _account_seed() -> str:
    return str(nkeys.encode_seed(bytes(SigningKey.generate()), nkeys.PREFIX_BYTE_ACCOUNT).decode())
