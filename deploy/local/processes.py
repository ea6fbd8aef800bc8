"""Child processes that end with their parent.

On Linux the kernel does it (PR_SET_PDEATHSIG), so that a SIGKILL of the parent leaves nothing behind; elsewhere
only an ordinary end of the parent stops them. The signal is bound to the thread that spawned the child: spawn from
the main thread.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import StackError

Process = subprocess.Popen[bytes]

PR_SET_PDEATHSIG = 1
NOBODY = "nobody"

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def before_exec(*, user: str | None, death_signal: signal.Signals) -> Callable[[], None]:
    """Give what the child does before it becomes another program.

    A change of user clears the parent-death signal, so the user comes first. A parent that died before the
    signal was asked for will never send it, hence the look at who the parent is now.
    """
    entry = pwd.getpwnam(user) if user is not None else None
    parent = os.getpid()

    def run() -> None:
        if entry is not None:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:
                os._exit(1)

    return run


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    keep_open: Sequence[int] = (),
) -> Process:
    """Start a child in a session of its own (Ctrl-C reaches the parent only); its output goes to `log`.

    Raises:
        StackError: the log cannot be written, or the program cannot be run.
    """
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                pass_fds=keep_open,
                preexec_fn=before_exec(user=user, death_signal=death_signal),
            )
    except OSError as error:
        raise StackError(f"{error.filename or command[0]} cannot be used: {error.strerror}.") from error


def stop(process: Process, *, sign: signal.Signals = signal.SIGTERM, seconds: float = 20) -> None:
    """Ask a child to end, and end it when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 5) -> str:
    """Give the last lines of a child's log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
