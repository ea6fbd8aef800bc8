"""Who may do what."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a member of an organization is."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What a request needs."""

    READ = "read"
    OPERATE = "operate"
    """Plan, approve, stop, turn safe mode."""
    CONFIGURE = "configure"
    """Change policies and node templates."""
    CONNECT = "connect"
    """Cloud accounts, clusters and their agents' tokens."""
    AUDIT = "audit"
    """Read who did what."""


_EDITOR = frozenset({Permission.READ, Permission.OPERATE, Permission.CONFIGURE})
PERMISSIONS_BY_ROLE: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(Permission),
    Role.EDITOR: _EDITOR,
    Role.VIEWER: frozenset({Permission.READ}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person who is logged in, and from where."""

    user_id: str
    organization_id: str
    role: Role
    session_id: str
    remote_address: str | None = None


def may(role: Role, permission: Permission) -> bool:
    """Say whether a role has a permission."""
    return permission in PERMISSIONS_BY_ROLE[role]
