"""What `make install` does on each Python, folder and platform; no package index is asked here."""

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.tools import bootstrap
from deploy.tools.bootstrap import Interpreter

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "deploy" / "tools" / "bootstrap.py"

BACKEND = '''
"""A build backend in one file: an editable wheel with the script spotopt."""
import zipfile


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "toy-0-py3-none-any.whl"
    info = "toy-0.dist-info"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("toy.py", "def main():\\n    print('it runs')\\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 0\\n")
        kind = "Wheel-Version: 1.0\\nGenerator: toy\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{info}/WHEEL", kind)
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\\nspotopt = toy:main\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "toy"
version = "0"
"""


def interpreter(
    version: tuple[int, int], *, has_venv: bool = True, implementation: str = "cpython"
) -> Interpreter:
    path = f"/usr/bin/python{version[0]}.{version[1]}"
    return Interpreter(path, implementation, version, has_venv=has_venv)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project that installs without an index, in a folder whose name has spaces."""
    root = tmp_path / "a clone with spaces"
    root.mkdir()
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "requirements.lock").write_text("# nothing\n")
    (root / "requirements-dev.lock").write_text("# nothing either\n")
    return root


def test_an_old_interpreter_can_at_least_read_it() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    assert SCRIPT.read_text().isascii(), "an old Python under LC_ALL=C prints ASCII only"


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["pip.conf", "index-url", "http:", "https:", "pypi"])
def test_it_names_no_index(name: str) -> None:
    code = [line for line in SCRIPT.read_text().splitlines() if "PIP_INDEX_URL" not in line]
    assert name not in "\n".join(code)


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Darwin", "x86_64")],
)
def test_platforms_with_binaries_are_supported(system: str, machine: str) -> None:
    bootstrap.refuse_platform(system, machine)


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Windows", "AMD64"), ("Linux", "armv7l"), ("Linux", "riscv64"), ("FreeBSD", "amd64")],
)
def test_other_platforms_are_refused_by_name(system: str, machine: str) -> None:
    with pytest.raises(bootstrap.RefusedError, match=f"not on {system} {machine}"):
        bootstrap.refuse_platform(system, machine)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        pytest.param([interpreter((3, 11))], (3, 11), id="the one that runs this"),
        pytest.param([interpreter((3, 12)), interpreter((3, 14))], (3, 12), id="it before newer ones"),
        pytest.param([interpreter((3, 9)), interpreter((3, 13))], (3, 13), id="another if it is too old"),
        pytest.param([interpreter((3, 15)), interpreter((3, 14))], (3, 14), id="another if it is too new"),
        pytest.param(
            [interpreter((3, 11), has_venv=False), interpreter((3, 12))],
            (3, 12),
            id="another if it has no venv",
        ),
        pytest.param(
            [interpreter((3, 11), implementation="pypy"), interpreter((3, 12))],
            (3, 12),
            id="another if it is PyPy",
        ),
    ],
)
def test_the_first_that_will_do_is_taken(offered: Sequence[Interpreter], chosen: tuple[int, int]) -> None:
    assert bootstrap.choose(list(offered)).version == chosen


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        pytest.param([interpreter((3, 9))], r"needs CPython 3\.11 to 3\.14.*3\.9", id="too old"),
        pytest.param([interpreter((3, 15))], r"3\.15", id="too new"),
        pytest.param([interpreter((3, 11), has_venv=False)], "apt-get install python3-venv", id="no venv"),
    ],
)
def test_where_none_will_do_one_sentence_says_what_to_do(offered: Sequence[Interpreter], said: str) -> None:
    with pytest.raises(bootstrap.RefusedError, match=said) as refusal:
        bootstrap.choose(list(offered))
    assert "\n" not in str(refusal.value)


def test_newer_interpreters_are_looked_for_first() -> None:
    assert bootstrap.names_to_try() == ["python3.14", "python3.13", "python3.12", "python3.11"]


def fake_python(folder: Path, name: str, answer: object) -> str:
    """An interpreter that says it is another."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_that_does_not_run_is_no_candidate(tmp_path: Path) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert bootstrap.probe(str(shim)) is None
    assert bootstrap.probe(str(tmp_path / "absent")) is None


def test_an_interpreter_says_what_it_is(tmp_path: Path) -> None:
    assert bootstrap.probe(sys.executable)
    told = bootstrap.probe(fake_python(tmp_path / "bin", "python3", ["cpython", [3, 8], False]))
    assert told is not None
    assert (told.version, told.has_venv, told.is_supported) == ((3, 8), False, False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["cpython", [3, 9], True], "needs CPython 3.11 to 3.14"),
        (["cpython", [3, 12], False], "python3.12-venv"),
    ],
    ids=["too old", "no venv"],
)
def test_where_nothing_can_be_installed_one_sentence_and_exit_2(
    answer: object,
    said: str,
    clone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(clone))
    monkeypatch.setattr(sys, "executable", fake_python(clone / "bin", "python3", answer))
    assert bootstrap.main([], clone) == 2
    refusal = capsys.readouterr().err
    assert said in refusal
    assert refusal.count("\n") == 1
    assert not (clone / ".venv").exists()


def test_the_script_itself_refuses_an_unknown_option() -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--unknown"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "unrecognized arguments: --unknown" in result.stderr


@pytest.mark.slow
def test_install_is_repeated_until_it_worked_and_whenever_something_changed(
    clone: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, no_index = clone / "requirements.lock", clone / "pip.ini"
    no_index.write_text("[global]\nno-index = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(no_index))
    lock.write_text("unheard-of==1 --hash=sha256:" + "0" * 64 + "\n")
    assert bootstrap.main([], clone) == 1
    said = capfd.readouterr()
    assert "Making .venv" in said.out
    assert "No matching distribution found for unheard-of" in said.err
    assert "pip's own configuration" in said.err
    assert not bootstrap.is_current(clone, dev=False)

    lock.write_text("# nothing\n")
    assert bootstrap.main([], clone) == 0
    said = capfd.readouterr()
    assert "Making .venv" not in said.out
    assert "Ready: .venv/bin/spotopt" in said.out
    command = [clone / ".venv/bin/spotopt"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "it runs\n"

    assert bootstrap.main([], clone) == 0
    assert capfd.readouterr().out == "", "nothing changed, nothing is done"

    lock.write_text("# changed\n")
    assert not bootstrap.is_current(clone, dev=False)
    assert bootstrap.main(["--dev"], clone) == 0
    assert bootstrap.is_current(clone, dev=True)
    assert bootstrap.is_current(clone, dev=False), "what tests need holds what the product needs"

    moved = clone.with_name("moved")
    clone.rename(moved)
    assert not bootstrap.is_current(moved, dev=True), "scripts hold the folder's name"
