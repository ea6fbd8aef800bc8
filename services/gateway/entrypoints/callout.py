"""The agents' door: nats-server asks here who a connection is (auth callout).

Services are configured users and never come here. The question is a JWT of the server's; its signature proves nothing
that the subject does not, for only the server may publish on it, and an answer is useless without the private half of
the user nkey that it names. So only its claims are read.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.gateway import metrics
from services.gateway.errors import AgentRefusedError
from services.gateway.ports import BusGrant

log = structlog.get_logger(__name__)

SUBJECT = "$SYS.REQ.USER.AUTH"
QUEUE = "gateway"


class MalformedQuestionError(ValueError):
    """What came is not what nats-server asks."""


class Issuer(Protocol):
    """Signs answers."""

    def admit(self, grant: BusGrant, *, user_nkey: str, server_id: str) -> bytes:
        """Let a connection in."""
        ...

    def refuse(self, reason: str, *, user_nkey: str, server_id: str) -> bytes:
        """Keep a connection out."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants in."""

    user_nkey: str
    server_id: str
    presented: str
    """The token."""

    def __repr__(self) -> str:
        return f"Question({self.user_nkey}, ***)"


def read_question(data: bytes) -> Question:
    """Read nats-server's question.

    Raises:
        MalformedQuestionError: it is none.
    """
    try:
        payload = data.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        nats = claims["nats"]
        return Question(
            user_nkey=str(nats["user_nkey"]),
            server_id=str(nats["server_id"]["id"]),
            presented=str(nats.get("connect_opts", {}).get("auth_token", "")),
        )
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedQuestionError from error


class Callout:
    """Answers the server's questions."""

    def __init__(self, *, issuer: Issuer, admit: Callable[[str], Awaitable[BusGrant]]) -> None:
        self._issuer = issuer
        self._admit = admit

    async def answer(self, data: bytes) -> bytes:
        """Give the signed answer to a question.

        Raises:
            MalformedQuestionError: it is none.
        """
        question = read_question(data)
        to = {"user_nkey": question.user_nkey, "server_id": question.server_id}
        try:
            grant = await self._admit(question.presented)
        except AgentRefusedError as error:
            metrics.admissions.labels("refused").inc()
            log.warning("agent_refused", reason=str(error))
            return self._issuer.refuse(str(error), **to)
        except Exception as error:
            # Unanswered, the server would wait; refused, the agent tries again by itself.
            metrics.admissions.labels("failed").inc()
            log.error("agent_not_judged", exc_info=error)
            return self._issuer.refuse("the gateway cannot judge this now", **to)
        metrics.admissions.labels("enrolled" if grant.is_enrolled else "enrolling").inc()
        log.info("agent_admitted", cluster_id=grant.cluster_id, is_enrolled=grant.is_enrolled)
        return self._issuer.admit(grant, **to)

    async def handle(self, message: Msg) -> None:
        """Answer a message."""
        try:
            await message.respond(await self.answer(message.data))
        except MalformedQuestionError as error:
            log.warning("callout_question_malformed", error=repr(error))


async def listen(connection: Client, callout: Callout) -> None:
    """Answer from now on; replicas share the questions."""
    await connection.subscribe(SUBJECT, queue=QUEUE, cb=callout.handle)
