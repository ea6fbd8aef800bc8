"""docs/audit.md promises that anyone can check an export: what it prints is run, on what the API answers."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from services.reporting.domain.audit_chain import Deed
from services.reporting.handlers.show_audit import show_audit
from shared.contracts.v1.reporting import GetAudit
from tests.fakes.reporting import InMemoryFeed, SetClock, SteadyIds

DOCUMENT = Path(__file__).parents[3] / "docs" / "audit.md"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEEDS = (
    Deed(NOON, "u1", "sign_up", "o1", {}),
    Deed(
        NOON + timedelta(microseconds=7),
        "u1",
        "connect_cluster",
        "c1",
        {"name": 'Zoë\'s "shop"\t1', "b": "é"},
    ),
    Deed(NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), "agent:c1", "enroll_agent", "c1", {}),
    Deed(NOON + timedelta(milliseconds=120), "autopilot", "approve_plan", "p1", {"sha256": "ab" * 32}),
)


async def pages(folder: Path, *, tamper: Callable[[Any], object] = lambda _: None) -> list[str]:
    """Export a log in pages of two, as the gateway writes them."""
    feed = InMemoryFeed("org-1")
    for deed in DEEDS:
        await feed.audit.append(deed)
    names = []
    for after in range(0, len(DEEDS), 2):
        request = GetAudit.make(scope="org-1", clock=SetClock(NOON), ids=SteadyIds(), after=after, limit=2)
        content = (await show_audit(request, unit_of_work=feed)).model_dump(mode="json")
        tamper(content["entries"])
        page = folder / f"page-{after}.json"
        page.write_text(json.dumps(content))
        names.append(str(page))
    return names


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (script,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    path = folder / "verify.py"
    path.write_text(script)
    command = [sys.executable, "-I", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_an_export_is_verified(tmp_path: Path) -> None:
    ended = verify(tmp_path, "org-1", *await pages(tmp_path))
    assert ended.stdout.startswith("4 entries are intact; the last hash is "), ended.stderr


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda entries: entries[0].update(actor="u2"), id="actor"),
        pytest.param(lambda entries: entries[1]["detail"].update(more="1"), id="detail"),
        pytest.param(lambda entries: entries[0].update(at="2026-01-01T12:00:01Z"), id="at"),
        pytest.param(lambda entries: entries.pop(0), id="gone"),
        pytest.param(lambda entries: entries.reverse(), id="order"),
    ],
)
async def test_a_changed_export_is_not(tmp_path: Path, tamper: Callable[[Any], object]) -> None:
    ended = verify(tmp_path, "org-1", *await pages(tmp_path, tamper=tamper))
    assert ended.returncode == 1
    assert "was changed" in ended.stderr


async def test_an_export_of_another_organization_is_not(tmp_path: Path) -> None:
    assert verify(tmp_path, "org-2", *await pages(tmp_path)).returncode == 1
