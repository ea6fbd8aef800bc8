"""Rules of the house that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import sources

MAX_LINES = 400
LONG_FOR_A_REASON: dict[str, str] = {
    "services/gateway/ports.py": "Protocols only: whoever looks for a port of the gateway finds it in one place",
    "tests/integration/sandbox_aws/test_world.py": "every promise of the sandbox's EC2, on one running world",
}
"""Files over the limit, each with the reason why splitting it would make it worse."""

VAGUE_NAMES = {"utils", "util", "helpers", "common", "manager", "misc"}

MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/|\.library\b")
REGISTRY_HOSTS = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|ghcr\.io|quay\.io|docker\.io|gcr\.io|proxy\.golang\.org|registry\.npmjs\.org)\b"
    r"|--(?:extra-)?index-url",
)
SESSION_STATE = re.compile(
    r"pg(?:_try)?_advisory_(?:lock|unlock)|\badd_listener\(|\bset_type_codec\(|set_config\([^)]*, false\)"
    r"|[\"'\s](?:listen \w+[\"';]|set session\b|set role\b|create temp)",
    re.IGNORECASE,
)
"""What would outlive its transaction on a connection that the next one gets (shared/runtime/postgres.py)."""
OWN_RULES = "tests/architecture/test_sources.py"

PRODUCT = ("services", "agent")


def offences(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in sources.texts():
        if sources.name_of(path) != OWN_RULES:
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                if pattern.search(line):
                    yield f"{sources.name_of(path)}:{number}: {line.strip()[:100]}"


def too_long() -> dict[str, int]:
    counts = {sources.name_of(p): len(p.read_text().splitlines()) for p in sources.modules()}
    return {name: count for name, count in counts.items() if count > MAX_LINES}


def test_no_module_is_long_without_a_reason() -> None:
    assert {n: c for n, c in too_long().items() if n not in LONG_FOR_A_REASON} == {}


def test_reasons_are_kept_for_long_modules_only() -> None:
    assert set(LONG_FOR_A_REASON) <= set(too_long())


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [sources.name_of(p) for p in sources.modules() if p.stem in VAGUE_NAMES] == []


def test_every_package_is_a_package() -> None:
    folders = {p.parent for p in sources.modules()}
    assert [sources.name_of(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_nothing_names_a_folder_of_somebodys_machine() -> None:
    assert list(offences(MACHINE_PATHS)) == []


def test_nothing_names_a_package_registry() -> None:
    assert list(offences(REGISTRY_HOSTS)) == []


def test_nothing_is_left_behind_on_a_connection() -> None:
    assert [found for found in offences(SESSION_STATE) if found.startswith(("services/", "shared/"))] == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (SESSION_STATE, "select pg_advisory_lock(1)"),
        (SESSION_STATE, "select pg_try_advisory_lock(1)"),
        (SESSION_STATE, "select set_config('app.organization_id', $1, false)"),
        (SESSION_STATE, 'execute("listen flags")'),
        (SESSION_STATE, 'execute("set role pricing_owner")'),
        (SESSION_STATE, "    create temporary table t (a int)"),
        (MACHINE_PATHS, "open('/root/x')"),
        (MACHINE_PATHS, "cd /home/jane/spot"),
        (REGISTRY_HOSTS, "pip install --index-url x"),
        (REGISTRY_HOSTS, "https://pypi.org/simple"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)
    assert not pattern.search("select pg_advisory_xact_lock(1), set_config($1, $2, true)")
    assert not pattern.search("services/pricing/work/plan and registry.invalid/demo:1")


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("package", PRODUCT)
def test_the_product_does_not_know_that_it_may_be_in_a_sandbox(package: str) -> None:
    found = [
        f"{sources.name_of(path)}:{line}: {name}"
        for path in sources.modules(package)
        for line, name in names_in(path)
        if re.search(r"sandbox|\bmoto\b", name, re.IGNORECASE) and len(name) < 80
    ]
    assert found == []


@pytest.mark.parametrize("package", [*PRODUCT, "shared"])
def test_no_subject_is_spelled_outside_the_table(package: str) -> None:
    subject = re.compile(r"^[a-z]+\.(?:evt|cmd|rpc)\.v\d+\.\w")
    found = [
        f"{sources.name_of(path)}:{line}: {name}"
        for path in sources.modules(package)
        if "contracts" not in path.parts
        for line, name in names_in(path)
        if subject.match(name)
    ]
    assert found == []


def test_nothing_is_imported_from_a_conftest() -> None:
    found = [
        sources.name_of(path)
        for path in sources.modules("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("conftest")
    ]
    assert found == []
