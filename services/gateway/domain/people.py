"""Users, their organizations and their sessions."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from services.gateway.domain.access import Role

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 256
"""Hashing takes time in proportion: nobody shall send a megabyte."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person."""

    id: str
    email: str
    password_hash: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A user in an organization."""

    organization_id: str
    user_id: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A log-in: a family of refresh tokens, of which one is live."""

    id: str
    organization_id: str
    user_id: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether its live refresh token may still be used."""
        return self.ended_at is None and now < self.expires_at


def normalized_email(text: str) -> str | None:
    """Give the address in the form it is stored in; None when it is no address."""
    email = text.strip().lower()
    return email if len(email) <= 254 and _EMAIL.fullmatch(email) else None


def password_problem(password: str, *, email: str) -> str | None:
    """Say why a password is refused, or None."""
    if len(password) < SHORTEST_PASSWORD:
        return f"must have at least {SHORTEST_PASSWORD} characters"
    if len(password) > LONGEST_PASSWORD:
        return f"must have at most {LONGEST_PASSWORD} characters"
    if password.lower() == email or len(set(password)) < 4:
        return "is too easy to guess"
    return None
