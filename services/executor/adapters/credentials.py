"""AWS sessions, lent by the gateway for an hour; they live in memory only, and are never logged."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aioboto3

from services.executor.errors import CredentialsUnavailableError
from shared.contracts.v1.gateway import LendCredentials, LentCredentials
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, UnavailableError
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus

RENEW_BEFORE = timedelta(minutes=5)
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, repr=False)
class Lent:
    """A session with its end."""

    session: Any
    """aioboto3.Session, which has no types."""
    region: str
    expires_at: datetime


class LentSessions:
    """Asks once for each cluster, then again shortly before the session ends."""

    def __init__(self, bus: Bus, *, clock: Clock, ids: Ids) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._held: dict[str, Lent] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def session(self, cluster_id: str) -> Lent:
        """Return a session that is valid for some minutes yet.

        Raises:
            CredentialsUnavailableError: the gateway does not answer, or AWS refuses it the role, and the last
                session has ended.
        """
        async with self._asking[cluster_id]:
            held = self._held.get(cluster_id)
            now = self._clock.now()
            if held is not None and now < held.expires_at - RENEW_BEFORE:
                return held
            request = LendCredentials.make(
                scope=cluster_id, clock=self._clock, ids=self._ids, purpose="write"
            )
            try:
                reply = await self._bus.ask(request, LentCredentials, timeout_seconds=TIMEOUT_SECONDS)
            except (UnavailableError, PermanentError) as error:
                if held is not None and now < held.expires_at:
                    return held
                raise CredentialsUnavailableError(str(error)) from error
            lent = Lent(
                aioboto3.Session(
                    aws_access_key_id=reply.access_key_id,
                    aws_secret_access_key=reply.secret_access_key.get_secret_value(),
                    aws_session_token=reply.session_token.get_secret_value(),
                    region_name=reply.region,
                ),
                reply.region,
                reply.expires_at,
            )
            self._held[cluster_id] = lent
            return lent

    def forget(self, cluster_id: str) -> None:
        """Drop a session that AWS refused: it may have been revoked."""
        self._held.pop(cluster_id, None)
