"""Opaque tokens: who they are about is readable, their secret is stored as a digest only.

Secrets are 256 random bits, so a plain SHA-256 of them cannot be guessed backwards; comparing takes the same time
whatever differs.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TokenKind(StrEnum):
    """What a token opens; its first part."""

    INSTALL = "spot-install"
    """The agent's door, for enrolment only; about a cluster."""
    AGENT = "spot-agent"
    """The agent's door; about a cluster."""
    REFRESH = "spot-refresh"
    """A new access token; about a session."""


@dataclass(frozen=True, slots=True)
class Token:
    """`<kind>.<subject id>.<secret>`."""

    kind: TokenKind
    subject_id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.kind.value}.{self.subject_id}.{self.secret}"

    def __repr__(self) -> str:
        return f"Token({self.kind.value}.{self.subject_id}.***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallToken:
    """What is kept of an install token that has not been ended."""

    id: str
    secret_sha256: bytes
    created_at: datetime
    first_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCredential:
    """What is kept of an agent's credential that has not been ended."""

    id: str
    secret_sha256: bytes


def read_token(text: str) -> Token | None:
    """Give the parts of a token; None when it is none of ours."""
    parts = text.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        return None
    kind, subject_id, secret = parts
    return Token(TokenKind(kind), subject_id, secret) if kind in set(TokenKind) else None


def digest(secret: str) -> bytes:
    """Give what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def is_match(secret: str, secret_sha256: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(digest(secret), secret_sha256)


def matching_install_token(
    secret: str, tokens: Iterable[InstallToken], *, now: datetime, lifetime: timedelta, reuse: timedelta
) -> InstallToken | None:
    """Find the install token that this secret opens the door with.

    It must be used first within `lifetime`; from then on it works for `reuse` more, so that an agent that crashed
    before it stored its credential can enrol again.
    """
    for token in tokens:
        ends_at = token.first_used_at + reuse if token.first_used_at else token.created_at + lifetime
        if is_match(secret, token.secret_sha256) and now < ends_at:
            return token
    return None
