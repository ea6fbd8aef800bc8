"""The pre-commit hooks run what is installed, and find what they are for."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture import sources

CONFIG: dict[str, Any] = yaml.safe_load((sources.ROOT / ".pre-commit-config.yaml").read_text())
HOOKS: dict[str, dict[str, Any]] = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
PATTERNS = sorted(name for name, hook in HOOKS.items() if hook["language"] == "pygrep")

SAMPLES = {
    "detect-private-key": [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "-----BEGIN " + "PRIVATE KEY-----",
        "SA" + "A2" * 28,
    ],
    "detect-aws-credentials": ["key = AK" + "IA" + "Z" * 16],
    "check-merge-conflict": ["<<<<<<" + "< HEAD", ">>>>>>" + "> theirs"],
    "end-of-file": ["no newline at the end", "two of them\n\n"],
}
"""Put together here, so that this file does not hold what the hooks look for."""


def finds(name: str, text: str) -> bool:
    flags = re.MULTILINE if "--multiline" in HOOKS[name].get("args", []) else 0
    if flags:
        return re.search(HOOKS[name]["entry"], text, flags) is not None
    return any(re.search(HOOKS[name]["entry"], line) for line in text.splitlines())


def test_every_hook_of_the_house_is_there() -> None:
    wanted = {"ruff", "ruff-format", "import-linter", "end-of-file", "locks"}
    assert wanted | {"detect-private-key", "detect-aws-credentials", "check-merge-conflict"} <= set(HOOKS)


def test_hooks_fetch_nothing() -> None:
    assert {repo["repo"] for repo in CONFIG["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system", "pygrep"}


def test_commands_are_those_of_the_virtual_environment() -> None:
    project = tomllib.loads((sources.ROOT / "pyproject.toml").read_text())
    dev = {re.split("[^a-z-]", name)[0] for name in project["dependency-groups"]["dev"]}
    owners = {"ruff": "ruff", "lint-imports": "import-linter", "pytest": "pytest", "mypy": "mypy"}
    for hook in HOOKS.values():
        if hook["language"] == "system":
            command = Path(hook["entry"].split()[0])
            assert command.parent == Path(".venv/bin")
            assert command.name == "python" or owners[command.name] in dev


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_finds_what_it_is_for(name: str) -> None:
    for sample in SAMPLES[name]:
        assert finds(name, sample), sample
    assert not finds(name, "an ordinary line\n")


@pytest.mark.parametrize("name", PATTERNS)
def test_the_repository_passes(name: str) -> None:
    assert [sources.name_of(path) for path in sources.texts() if finds(name, path.read_text())] == []
