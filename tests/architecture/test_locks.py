"""The lock files pin, by hash, whatever pyproject.toml asks for, and name no index."""

import re
import tomllib
from importlib import metadata

import pytest

from tests.architecture import sources

PROJECT = tomllib.loads((sources.ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
LOCKS = {
    "requirements.lock": RUNTIME,
    "requirements-dev.lock": [*RUNTIME, *PROJECT["dependency-groups"]["dev"]],
}
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)(?: *;[^\\]+)? *\\?$")

each_lock = pytest.mark.parametrize("lock", LOCKS)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, list[str]]:
    """Give every pinned package with its hashes; a package may be pinned anew for another Python."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (sources.ROOT / lock).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            match = PIN.match(line)
            assert match, f"{lock}: {line} pins nothing"
            current = found.setdefault(match["name"], [])
        elif "--hash=" in line:
            current.append(line.strip(" \\"))
    return found


@each_lock
def test_everything_asked_for_is_pinned(lock: str) -> None:
    asked = {normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in LOCKS[lock]}
    assert asked - pins(lock).keys() == set()


@each_lock
def test_every_pin_has_hashes(lock: str) -> None:
    assert [name for name, hashes in pins(lock).items() if not hashes] == []
    hashes = [h for found in pins(lock).values() for h in found]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in hashes)


@each_lock
def test_no_lock_names_an_index_or_a_place(lock: str) -> None:
    text = (sources.ROOT / lock).read_text()
    assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links|file:|^-e|^-r", text, re.MULTILINE)


def test_what_tests_need_is_on_top_of_what_the_product_needs() -> None:
    runtime, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name for name in runtime if dev.get(name) != runtime[name]} == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    text = (sources.ROOT / "requirements-dev.lock").read_text()
    pinned: dict[str, set[str]] = {}
    for match in re.finditer(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", text, re.MULTILINE):
        pinned.setdefault(match[1], set()).add(match[2])
    installed = {normal(d.metadata["Name"]): d.version for d in metadata.distributions()}
    differing = {
        n: installed[n] for n, versions in pinned.items() if n in installed and installed[n] not in versions
    }
    assert differing == {}, "run `make install-dev`"


def test_every_library_of_the_product_has_its_reason_written_down() -> None:
    table = (sources.ROOT / "docs/adr/0005-libraries.md").read_text()
    named = {
        normal(name) for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in row.split(", ")
    }
    asked = {normal(re.split(r"[^A-Za-z0-9._-]", wanted)[0]) for wanted in PROJECT["project"]["dependencies"]}
    assert asked - named == set()
