"""The JWTs that nats-server's auth callout speaks: Ed25519 with nkeys, and claims of their own.

No Python library for them is to be trusted; this is all of it that is needed.
"""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import nkeys

from services.gateway.errors import SettingsError
from services.gateway.ports import BusGrant
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime import streams

HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
RESPONSE_NANOSECONDS = 5_000_000_000
"""How long an agent may answer what it was asked."""


class CalloutIssuer:
    """Signs answers to the auth callout; see entrypoints/callout.py for what asks."""

    def __init__(self, *, seed: str, account_name: str, clock: Clock, ids: Ids) -> None:
        try:
            self._key = nkeys.from_seed(seed.encode())
            self._issuer = self._key.public_key.decode()
        except Exception as error:
            raise SettingsError("GATEWAY_CALLOUT_ISSUER_SEED is no account nkey seed (SA…).") from error
        if not self._issuer.startswith("A"):
            raise SettingsError("GATEWAY_CALLOUT_ISSUER_SEED is no account nkey seed (SA…).")
        self._account_name = account_name
        self._clock = clock
        self._ids = ids

    def admit(self, grant: BusGrant, *, user_nkey: str, server_id: str) -> bytes:
        """Let a connection in, with exactly what it may do."""
        permissions = (
            streams.agent_permissions(grant.cluster_id)
            if grant.is_enrolled
            else streams.enrolment_permissions(grant.cluster_id)
        )
        user = {
            "name": grant.cluster_id,
            "aud": self._account_name,
            "exp": _seconds(grant.expires_at),
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"allow": list(permissions.publish)},
                "sub": {"allow": list(permissions.subscribe)},
                "resp": {"max": 1, "ttl": RESPONSE_NANOSECONDS},
                "subs": -1,
                "data": -1,
                "payload": -1,
            },
        }
        return self._answer({"jwt": self._signed(user, subject=user_nkey)}, user_nkey, server_id)

    def refuse(self, reason: str, *, user_nkey: str, server_id: str) -> bytes:
        """Keep a connection out; the server logs the reason."""
        return self._answer({"error": reason}, user_nkey, server_id)

    def _answer(self, content: Mapping[str, str], user_nkey: str, server_id: str) -> bytes:
        claims = {"aud": server_id, "nats": {"type": "authorization_response", "version": 2, **content}}
        return self._signed(claims, subject=user_nkey).encode()

    def _signed(self, claims: Mapping[str, Any], *, subject: str) -> str:
        identity: UUID = self._ids.new()
        full = {
            "iss": self._issuer,
            "sub": subject,
            "iat": _seconds(self._clock.now()),
            "jti": str(identity),
            **claims,
        }
        text = f"{_encoded(json.dumps(HEADER).encode())}.{_encoded(json.dumps(full).encode())}"
        return f"{text}.{_encoded(self._key.sign(text.encode()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
