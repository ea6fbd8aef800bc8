"""Where the embedded stack keeps its state: one folder, closed to others, with its secrets beside its data."""

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
from deploy.local.schemas import SERVICES


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

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        """What runs now; absent when nothing does."""
        return self.path / "stack.json"

    def open(self) -> None:
        """Make the folders.

        Raises:
            StackError: they cannot be made; the message says why.
        """
        try:
            for folder in (self.path, self.logs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be used: {error.strerror}. Set SPOTOPT_HOME to a folder you may write to."
            ) from error

    def lock(self) -> None:
        """Keep a second stack out for the life of this process.

        Raises:
            StackError: another stack holds it.
        """
        handle = (self.path / "lock").open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise StackError(
                f"a stack already runs in {self.path}; see `spotopt status`, or stop it with `spotopt down`."
            ) from error
        self._lock = handle

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def secrets(self) -> Secrets:
        """Read the secrets; the first time they are made."""
        file = self.path / "secrets.json"
        if not file.exists():
            names = (*SERVICES, nats_server.ADMIN)
            made = {
                "database": {name: secrets.token_urlsafe(24) for name in SERVICES},
                "bus": {name: secrets.token_urlsafe(24) for name in names},
                "jwt_secret": secrets.token_urlsafe(48),
                "gateway_key": secrets.token_hex(32),
                "executor_key": secrets.token_hex(32),
                "callout_seed": _account_seed(),
            }
            self.write(file, made)
        return Secrets(**json.loads(file.read_text()))

    def write(self, file: Path, value: Mapping[str, Any]) -> None:
        """Replace a file at once, readable by its owner only.

        Raises:
            StackError: the disk is full, or the folder is gone.
        """
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(value, indent=2))
            unfinished.replace(file)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise StackError(f"{file} cannot be written: {error.strerror}.") from error

    def state(self) -> dict[str, Any] | None:
        """Read what runs, None when nothing does or its process is gone."""
        try:
            state: dict[str, Any] = json.loads(self.state_file.read_text())
            os.kill(state["pid"], 0)
        except (OSError, ValueError, KeyError):
            return None
        return state


def _account_seed() -> str:
    return str(nkeys.encode_seed(bytes(SigningKey.generate()), nkeys.PREFIX_BYTE_ACCOUNT).decode())
