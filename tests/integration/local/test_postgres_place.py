"""Where Postgres and its data lie when its user could not reach them."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import postgres
from deploy.local.errors import StackError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that anybody can reach."""
    folder = Path(tempfile.mkdtemp(prefix="spotopt-tests-open-"))
    folder.chmod(0o755)
    monkeypatch.setenv("SPOTOPT_OPEN_ROOT", str(folder / "open"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def wheel(root: Path) -> Path:
    """A wheel that was installed with a umask of 077."""
    package = root / "closed" / "pgserver"
    bin_ = package / "pginstall" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "postgres").write_text("#!/bin/sh\n")
    (bin_ / "postgres").chmod(0o700)
    (package / "pginstall" / "share.txt").write_text("x")
    (package / "pginstall" / "share.txt").chmod(0o600)
    libraries = package.with_name("pgserver.libs")
    libraries.mkdir()
    (libraries / "lib.so.1").write_text("lib")
    (libraries / "lib.so").symlink_to("lib.so.1")
    (root / "closed").chmod(0o700)
    return package


def test_binaries_are_copied_once_and_everybody_can_read_them(root: Path, wheel: Path) -> None:
    old = os.umask(0o077)
    try:
        copy = postgres.copied(wheel, "1.0")
    finally:
        os.umask(old)
    assert copy == root / "open" / "postgres-1.0" / "pgserver"
    assert postgres.is_open_to_all(copy / "pginstall" / "bin" / "postgres")
    assert not postgres.is_open_to_all(wheel / "pginstall" / "bin" / "postgres")
    assert stat.S_IMODE((copy / "pginstall" / "share.txt").stat().st_mode) == 0o644
    assert (copy.with_name("pgserver.libs") / "lib.so").read_text() == "lib"
    (wheel / "pginstall" / "bin" / "postgres").write_text("changed")
    assert (postgres.copied(wheel, "1.0") / "pginstall" / "bin" / "postgres").read_text() == "#!/bin/sh\n"
    assert [part.name for part in (root / "open").iterdir()] == ["postgres-1.0"]


def test_a_copy_that_cannot_be_made_is_one_sentence(
    root: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_text("")
    monkeypatch.setenv("SPOTOPT_OPEN_ROOT", str(root / "file" / "open"))
    with pytest.raises(StackError, match=r"Postgres cannot be copied to .*Set SPOTOPT_OPEN_ROOT to another"):
        postgres.copied(wheel, "1.0")


@pytest.mark.postgres
@as_root
async def test_a_place_that_is_closed_too_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("SPOTOPT_OPEN_ROOT", str(closed / "open"))
    with pytest.raises(
        StackError, match=r"user nobody cannot reach .*closed/open; set SPOTOPT_OPEN_ROOT to a"
    ):
        await postgres.start(closed / "postgres", log=root / "log", throwaway=True)


@pytest.mark.postgres
@pytest.mark.slow
@as_root
async def test_data_is_kept_when_its_folder_is_closed_later(root: Path) -> None:
    home = root / "my home"
    home.mkdir(mode=0o755)
    folder, log = home / "postgres", root / "log"
    first = await postgres.start(folder, log=log, throwaway=True)
    first.stop()
    assert postgres.place_of(folder) == folder
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")  # of a crash; the id was used again
    home.chmod(0o700)
    second = await postgres.start(folder, log=log, throwaway=True)
    second.stop()
    place = postgres.place_of(folder)
    assert place.parent == root / "open"
    assert second.password == first.password
    assert not (folder / "data").exists()
    assert stat.S_IMODE((place / "admin-password").stat().st_mode) == 0o600
    shutil.rmtree(place)
    with pytest.raises(
        StackError, match=r"which is gone; put it back, or remove .*place to begin with an empty"
    ):
        await postgres.start(folder, log=log, throwaway=True)


@pytest.mark.postgres
@pytest.mark.slow
async def test_a_removed_database_leaves_nothing(root: Path) -> None:
    folder = root / "closed" / "postgres"
    folder.parent.mkdir(mode=0o700)
    server = await postgres.start(folder, log=root / "log", throwaway=True)
    server.stop()
    place = postgres.place_of(folder)
    postgres.remove(folder)
    assert not place.exists()
    assert not folder.exists()
