"""Enrolment: one request over a connection that the install token opens."""

import contextlib
import json
from datetime import datetime, timedelta

from nats.errors import Error as NatsError
from pydantic import ValidationError

from agent.adapters.bus import BusRefusedError, connect_once
from agent.errors import BusUnavailableError, EnrolmentRefusedError
from agent.ports import Credential
from shared.contracts.subjects import subject_of
from shared.contracts.v1.gateway import AgentEnrolled, EnrollAgent
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

ERROR_HEADER = "Spot-Error"
ANSWER_SECONDS = 10.0


class NatsGateway:
    """See agent.ports.Gateway."""

    def __init__(
        self,
        *,
        url: str,
        cluster_id: str,
        agent_version: str,
        refusal_patience: timedelta,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._url = url
        self._cluster_id = cluster_id
        self._agent_version = agent_version
        self._refusal_patience = refusal_patience
        self._clock = clock
        self._ids = ids
        self._refused_since: datetime | None = None

    async def enrol(self, *, install_token: str, kubernetes_version: str | None) -> Credential:
        """Trade the install token for a credential.

        Raises:
            EnrolmentRefusedError: the token is wrong, used or expired.
            BusUnavailableError: nobody answers; try again.
        """
        request = EnrollAgent.make(
            scope=self._cluster_id,
            clock=self._clock,
            ids=self._ids,
            install_token=install_token,
            agent_version=self._agent_version,
            kubernetes_version=kubernetes_version,
        )
        subject = subject_of(request).for_scope(self._cluster_id)
        try:
            client = await connect_once(url=self._url, cluster_id=self._cluster_id, token=install_token)
        except BusRefusedError as error:
            self._judge_refusal(error)
            raise
        self._refused_since = None
        try:
            raw = await client.request(subject, request.model_dump_json().encode(), timeout=ANSWER_SECONDS)
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailableError(f"the gateway does not answer: {error!r}") from error
        finally:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await client.close()
        if raw.headers and ERROR_HEADER in raw.headers:
            raise _problem(raw.headers[ERROR_HEADER], raw.data)
        try:
            answer = AgentEnrolled.model_validate_json(raw.data)
            keys = {key.key_id: bytes.fromhex(key.public_key_hex) for key in answer.signing_keys}
        except (ValidationError, ValueError) as error:
            raise EnrolmentRefusedError(f"the gateway's answer is malformed: {error}") from error
        if answer.cluster_id != self._cluster_id:
            raise EnrolmentRefusedError(f"the gateway answered for cluster {answer.cluster_id}")
        return Credential(answer.cluster_id, answer.credential.get_secret_value(), keys)

    def _judge_refusal(self, error: BusRefusedError) -> None:
        now = self._clock.now()
        self._refused_since = self._refused_since or now
        if now - self._refused_since >= self._refusal_patience:
            raise EnrolmentRefusedError(
                f"the install token of cluster {self._cluster_id} is refused: it is wrong, used or expired;"
                " ask for a new one"
            ) from error


def _problem(name: str, body: bytes) -> EnrolmentRefusedError | BusUnavailableError:
    try:
        problem = json.loads(body)
        text, is_permanent = str(problem["message"]), bool(problem["permanent"])
    except (ValueError, KeyError, TypeError):
        text, is_permanent = name, False
    if is_permanent:
        return EnrolmentRefusedError(f"the gateway refuses to enrol this agent: {text}")
    return BusUnavailableError(f"the gateway cannot enrol this agent now: {text}")
