"""Keep what was read of a long price history, so that the next run need not read it again.

A month of spot prices has hundreds of thousands of rows, of which the newest of each pool count. What was found is
kept under the user's cache folder by the hash of the file's content, as JSON: a cache that somebody else wrote can
name wrong prices at worst, never run code. A cache that cannot be read or written is no cache, and no error.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMAT = 1
"""Raised whenever what is kept, or how a file is read, changes."""
MOST_FILES = 32
SMALL_BYTES = 64 * 1024
"""A file below this is read faster than it is remembered."""


def rows(path: Path, question: str, read: Callable[[], list[list[Any]]]) -> list[list[Any]]:
    """Give the rows that `read` finds in a file, from the cache when the same file was asked the same before."""
    kept = _place(path, question)
    if kept is None:
        return read()
    try:
        found = json.loads(kept.read_bytes())
        if isinstance(found, list):
            os.utime(kept)
            return found
    except (OSError, ValueError):
        pass
    found = read()
    _keep(kept, found)
    return found


def _place(path: Path, question: str) -> Path | None:
    try:
        if not path.is_file() or path.stat().st_size < SMALL_BYTES:
            return None
        digest = hashlib.sha256(f"{FORMAT}\0{question}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except (OSError, RuntimeError):
        return None
    return Path(base) / "spot-optimizer" / "prices" / f"{digest.hexdigest()}.json"


def _keep(place: Path, found: list[list[Any]]) -> None:
    temporary: str | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=place.parent, suffix=".new")
        with os.fdopen(handle, "w") as file:
            json.dump(found, file)
        Path(temporary).replace(place)
        temporary = None
        oldest = sorted(place.parent.glob("*.json"), key=lambda p: (p.stat().st_mtime, p.name))
        for old in oldest[:-MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError:
        # A full disk, or a home that may not be written: the plan does not depend on it.
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
