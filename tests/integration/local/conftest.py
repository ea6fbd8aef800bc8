"""A home below a folder that is closed to others, in a path with a space."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.local.terminal import Terminal


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A folder that only its owner may enter, with a space in its name."""
    folder = tmp_path / "my files"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def open_root() -> Iterator[Path]:
    """Where root puts what the database user must reach."""
    folder = Path(tempfile.mkdtemp(prefix="spotopt-tests-open-"))
    folder.chmod(0o755)
    yield folder / "shared with nobody"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def terminal(closed_folder: Path, open_root: Path) -> AsyncIterator[Terminal]:
    """`spotopt` on that home."""
    terminal = Terminal(home=closed_folder / "home", open_root=open_root)
    yield terminal
    await terminal.close()
