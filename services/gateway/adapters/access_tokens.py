"""Access tokens are JWTs (HS256) that only the gateway's replicas can make."""

import secrets
from datetime import timedelta
from typing import Any

import jwt

from services.gateway.domain.access import Caller, Role
from services.gateway.errors import NotAuthenticatedError
from shared.kernel.clock import Clock

ALGORITHM = "HS256"
ISSUER = "spot-optimizer"
REQUIRED_CLAIMS = ["sub", "org", "role", "sid", "exp"]


class JwtAccessTokens:
    """See ports.AccessTokens."""

    def __init__(self, *, secret: str, lifetime: timedelta, clock: Clock) -> None:
        self._secret = secret
        self._lifetime = lifetime
        self._clock = clock

    @property
    def lifetime_seconds(self) -> int:
        """See the port."""
        return int(self._lifetime.total_seconds())

    def issue(self, *, user_id: str, organization_id: str, role: Role, session_id: str) -> str:
        """See the port."""
        now = self._clock.now()
        claims = {
            "iss": ISSUER,
            "sub": user_id,
            "org": organization_id,
            "role": role.value,
            "sid": session_id,
            "iat": int(now.timestamp()),
            "exp": int((now + self._lifetime).timestamp()),
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def read(self, token: str) -> Caller:
        """See the port."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                # Expiry is judged by our own clock, below.
                options={"require": REQUIRED_CLAIMS, "verify_exp": False, "verify_iat": False},
            )
            if self._clock.now().timestamp() >= float(claims["exp"]):
                raise NotAuthenticatedError("The access token has expired; refresh it.")
            return Caller(
                user_id=str(claims["sub"]),
                organization_id=str(claims["org"]),
                role=Role(claims["role"]),
                session_id=str(claims["sid"]),
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise NotAuthenticatedError from error


class RandomSecrets:
    """See ports.SecretSource."""

    def new(self) -> str:
        """See the port."""
        return secrets.token_urlsafe(32)
