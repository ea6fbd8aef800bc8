"""Whether a command may run: the agent trusts the key it was enrolled with, not the bus it came by.

Pure: signature, cluster, expiry, fencing token and the agent's own limits are judged from values alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Limits:
    """What whoever installed the agent allows, whatever a command says."""

    is_dry_run: bool = False
    excluded_namespaces: frozenset[str] = frozenset()
    max_drains_in_parallel: int = 5


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """What of a command the check looks at."""

    cluster_id: str
    fencing_token: int
    expires_at: datetime
    namespace: str | None
    """Of the object it changes; None for nodes."""


def signature_problem(*, body: bytes, key_id: str, signature: bytes, keys: Mapping[str, bytes]) -> str | None:
    """Say what is wrong with the signature; None when it is good."""
    key = keys.get(key_id)
    if key is None:
        return f"it is signed with the key {key_id[:64]!r}, which this agent was not enrolled with"
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, body)
    except (InvalidSignature, ValueError):
        return "its signature is wrong"
    return None


def reason_to_refuse(
    command: CommandFacts, *, cluster_id: str, now: datetime, highest_token: int | None, limits: Limits
) -> str | None:
    """Say why a correctly signed command must not run; None when it may."""
    if command.cluster_id != cluster_id:
        return f"it is for cluster {command.cluster_id}, and this is {cluster_id}"
    if command.expires_at <= now:
        return f"it expired at {command.expires_at.isoformat()}"
    if highest_token is not None and command.fencing_token < highest_token:
        return f"its fencing token {command.fencing_token} is older than {highest_token}, which was seen"
    if limits.is_dry_run:
        return "this agent is set to dry run"
    if command.namespace is not None and command.namespace in limits.excluded_namespaces:
        return f"the namespace {command.namespace} is excluded on this agent"
    return None
