"""The repository's own files, as the architecture tests read them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "agent", "shared", "deploy", "tests")
TOP_LEVEL = (
    "Makefile",
    "docker-compose.yml",
    ".ci/run",
    ".pre-commit-config.yaml",
    ".importlinter",
    "pyproject.toml",
)
SUFFIXES = frozenset({".py", ".sql", ".md", ".yml", ".yaml", ".toml", ".json", ".html", ".js", ".css", ".sh"})


def modules(*packages: str) -> Iterator[Path]:
    """Give the Python files of these packages."""
    for package in packages or PACKAGES:
        yield from sorted(p for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts)


def texts() -> Iterator[Path]:
    """Give every file that people wrote, lock files aside."""
    for name in TOP_LEVEL:
        if (ROOT / name).exists():
            yield ROOT / name
    yield from pages()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            is_source = path.suffix in SUFFIXES or path.name.startswith(("Dockerfile", ".env"))
            if path.is_file() and is_source and "__pycache__" not in path.parts:
                yield path


def pages() -> Iterator[Path]:
    """Give every page of documentation."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))


def name_of(path: Path) -> str:
    """Give a path as people write it."""
    return path.relative_to(ROOT).as_posix()
