"""The audit log's hash chain: each entry's hash covers the one before, so that nothing can be changed unseen.

An entry's sha256 is over canonical JSON: keys sorted, no spaces, UTF-8, instants in UTC with microseconds. Whoever
holds an export can recompute it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

BEFORE_THE_FIRST = "0" * 64
"""What stands in place of the hash before the first entry."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what."""

    at: datetime
    actor: str
    action: str
    target: str
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """A deed in the chain of its organization."""

    organization_id: str
    position: int
    deed: Deed
    previous_sha256: str
    sha256: str


def append(deed: Deed, *, organization_id: str, position: int, previous_sha256: str) -> Link:
    """Give the link that follows."""
    return Link(
        organization_id,
        position,
        deed,
        previous_sha256,
        digest(deed, organization_id=organization_id, position=position, previous_sha256=previous_sha256),
    )


def digest(deed: Deed, *, organization_id: str, position: int, previous_sha256: str) -> str:
    """Give an entry's hash."""
    body = {
        "organization_id": organization_id,
        "position": position,
        "at": deed.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": deed.actor,
        "action": deed.action,
        "target": deed.target,
        "detail": dict(deed.detail),
        "previous_sha256": previous_sha256,
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_intact(links: Iterable[Link], *, after: int = 0, previous_sha256: str = BEFORE_THE_FIRST) -> bool:
    """Whether these links follow position `after`, whose hash is given, without a gap or a change."""
    for link in links:
        expected = append(
            link.deed,
            organization_id=link.organization_id,
            position=after + 1,
            previous_sha256=previous_sha256,
        )
        if link != expected:
            return False
        after, previous_sha256 = link.position, link.sha256
    return True
