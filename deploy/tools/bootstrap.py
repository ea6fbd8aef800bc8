"""Make `.venv` with what the lock file pins, and the project itself in it: what `make install` runs.

It runs before anything is installed, on whatever `python3` is: it needs the standard library only, and must at least
parse on Python 3.6, so that somebody with an old interpreter reads a sentence instead of a SyntaxError. Hence the
quoted annotations and the old spelling here and there. It names no package index: pip's own configuration does,
so that a company's mirror works.
"""

import argparse
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
NEWEST = (3, 14)
LINUX_MACHINES = ("x86_64", "aarch64")
STAMP = ".spotopt-installed"
"""In .venv: what was installed into it. A changed lock, pyproject or folder makes it stale."""

PROGRESS_SECONDS = 5.0
"""How often a line is printed while pip works."""

PROBE = (
    "import sys, json\n"
    "try:\n    import ensurepip, venv\n    has_venv = True\n"
    "except ImportError:\n    has_venv = False\n"
    "print(json.dumps([sys.implementation.name, list(sys.version_info[:2]), has_venv]))"
)


class RefusedError(Exception):
    """Nothing can be installed here; the message says what to do about it."""


class InstallError(Exception):
    """Installing was tried and failed."""


class Interpreter:
    """A Python that was asked what it is."""

    def __init__(self, path: str, implementation: str, version: "tuple[int, int]", *, has_venv: bool) -> None:
        self.path = path
        self.implementation = implementation
        self.version = version
        self.has_venv = has_venv

    @property
    def is_supported(self) -> bool:
        """Whether the product runs on it."""
        return self.implementation == "cpython" and OLDEST <= self.version <= NEWEST


def probe(path: str) -> "Interpreter | None":
    """Ask an interpreter what it is; None when it does not run (as pyenv's shims may not)."""
    try:
        answer = subprocess.check_output([path, "-c", PROBE], stderr=subprocess.DEVNULL)
        implementation, version, has_venv = json.loads(answer.decode())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return Interpreter(path, implementation, (version[0], version[1]), has_venv=has_venv)


def names_to_try() -> "list[str]":
    """Name the interpreters looked for beside the one that runs this, newest first."""
    return [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]


def refuse_platform(system: str, machine: str) -> None:
    """Refuse where the embedded servers have no binaries.

    Raises:
        RefusedError: this is neither Linux on x86_64 or aarch64 nor macOS.
    """
    if system == "Darwin" or (system == "Linux" and machine in LINUX_MACHINES):
        return
    raise RefusedError(
        f"Spot Optimizer runs on Linux (x86_64, aarch64) and macOS, not on {system} {machine}: use one of those "
        "(on Windows: WSL 2)."
    )


def dotted(version: "tuple[int, int]") -> str:
    """Spell a version as people do."""
    return f"{version[0]}.{version[1]}"


def choose(candidates: "list[Interpreter]") -> Interpreter:
    """Take the first that will do.

    Raises:
        RefusedError: none will; the message says what is missing.
    """
    supported = [c for c in candidates if c.is_supported]
    for candidate in supported:
        if candidate.has_venv:
            return candidate
    first = (supported or candidates)[0]
    if supported:
        raise RefusedError(
            f"{first.path} has no venv and ensurepip: install them (on Debian and Ubuntu "
            f"`apt-get install python3-venv` or `python{dotted(first.version)}-venv`), then run this again."
        )
    raise RefusedError(
        f"Spot Optimizer needs CPython {dotted(OLDEST)} to {dotted(NEWEST)}, and {first.path} is "
        f"{first.implementation} {dotted(first.version)}: install one of them, or name it with "
        "`make install PYTHON=/path/to/python`."
    )


def lock_name(*, dev: bool) -> str:
    """Name the lock file: what the product needs, or what its tests need too."""
    return "requirements-dev.lock" if dev else "requirements.lock"


def fingerprint(root: Path, *, dev: bool) -> str:
    """Digest everything that an installation depends on; a moved clone is another one."""
    digest = hashlib.sha256(str(root).encode())
    for name in (lock_name(dev=dev), "pyproject.toml"):
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def is_current(root: Path, *, dev: bool) -> bool:
    """Whether .venv works and holds what is asked for; one with the tests' packages holds the product's too."""
    try:
        installed = json.loads((root / ".venv" / STAMP).read_text())
    except (OSError, ValueError):
        return False
    kinds = (True,) if dev else (False, True)
    if not any(installed.get(lock_name(dev=kind)) == fingerprint(root, dev=kind) for kind in kinds):
        return False
    return (root / ".venv" / "bin" / "spotopt").exists() and probe(venv_python(root)) is not None


def venv_python(root: Path) -> str:
    """Give the path of .venv's interpreter."""
    return str(root / ".venv" / "bin" / "python")


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)  # noqa: T201


def run_pip(root: Path, arguments: "list[str]", expected: int) -> None:
    """Run .venv's pip; print how far it is from time to time, and all it said at the end only if it failed.

    Raises:
        InstallError: it failed.
    """
    # Always through `python -m`: a script's first line cannot hold a path with a space on every system.
    command = [venv_python(root), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    said = []
    with subprocess.Popen(
        command, cwd=str(root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        seen, last = 0, time.monotonic()
        for raw in process.stdout:
            said.append(raw.decode(errors="replace").rstrip())
            seen += said[-1].startswith("Collecting ")
            if expected and said[-1].startswith("Installing collected packages"):
                say(f"  all {expected} found, installing ...")
            elif expected and time.monotonic() - last >= PROGRESS_SECONDS:
                last = time.monotonic()
                say(f"  {min(seen, expected)} of {expected} packages ...")
    if process.returncode != 0:
        sys.stderr.write("\n".join(said[-25:]) + "\n")
        raise InstallError(
            "pip failed (what it said is above). Behind a mirror or a proxy, set pip's own configuration, "
            "such as PIP_INDEX_URL or PIP_PROXY, and run this again."
        )


def packages_in(lock: Path) -> int:
    """Count the packages that a lock file pins."""
    return len({line.partition("==")[0] for line in lock.read_text().splitlines() if line[:1].isalnum()})


def make_venv(root: Path, python: Interpreter) -> None:
    """Make .venv, or make it anew when it is damaged or of another Python.

    Raises:
        InstallError: it cannot be made.
    """
    present = probe(venv_python(root))
    if present is not None and present.is_supported and present.has_venv:
        return
    say(f"Making .venv with Python {dotted(python.version)} ({python.path}) ...")
    command = [python.path, "-m", "venv", "--clear", str(root / ".venv")]
    if subprocess.call(command) != 0:
        raise InstallError("`{}` failed: what it said is above.".format(" ".join(command)))


def install(root: Path, python: Interpreter, *, dev: bool) -> None:
    """Install everything into .venv; the stamp is written last, so that a cut-off run is repeated.

    Raises:
        InstallError: something failed; the message says what.
    """
    make_venv(root, python)
    stamp = root / ".venv" / STAMP
    if stamp.exists():
        stamp.unlink()
    lock = root / lock_name(dev=dev)
    count = packages_in(lock)
    say(f"Installing the {count} packages of {lock.name} ...")
    run_pip(root, ["install", "--require-hashes", "-r", lock.name], count)
    say("Installing spotopt ...")
    run_pip(root, ["install", "--no-deps", "--no-build-isolation", "-e", "."], 0)
    kinds = (False, True) if dev else (False,)
    stamp.write_text(json.dumps({lock_name(dev=kind): fingerprint(root, dev=kind) for kind in kinds}))
    say("Ready: .venv/bin/spotopt")


def main(argv: "list[str]", root: Path) -> int:
    """Install what is missing; 0: it is there, 1: installing failed, 2: it cannot work here."""
    parser = argparse.ArgumentParser(description="Install the product into .venv.")
    parser.add_argument("--dev", action="store_true", help="with what tests and checks need")
    dev = parser.parse_args(argv).dev
    try:
        refuse_platform(platform.system(), platform.machine())
        if is_current(root, dev=dev):
            return 0
        found = [sys.executable, *(path for path in map(shutil.which, names_to_try()) if path)]
        install(root, choose([c for c in map(probe, found) if c is not None]), dev=dev)
    except RefusedError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    except (InstallError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[2]))
