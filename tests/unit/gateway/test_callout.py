"""What nats-server asks, and what it is answered."""

import base64
import json
from datetime import timedelta
from typing import Any

import nkeys
import pytest

from services.gateway.adapters.nats_jwt import CalloutIssuer
from services.gateway.entrypoints.callout import Callout, MalformedQuestionError, read_question
from services.gateway.errors import AgentRefusedError, SettingsError
from services.gateway.ports import BusGrant
from tests.fakes.gateway import START, SetClock, SteadyIds

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT).decode()


def encoded(value: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def decoded(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return value


def question(token: str = "spot-agent.c1.s") -> bytes:
    nats = {"user_nkey": "UX", "server_id": {"id": "NX"}, "connect_opts": {"auth_token": token}}
    return encoded({}) + b"." + encoded({"nats": nats}) + b".c2ln"


def issuer() -> CalloutIssuer:
    return CalloutIssuer(seed=SEED, account_name="SPOT", clock=SetClock(), ids=SteadyIds())


async def answered(outcome: BusGrant | Exception) -> dict[str, Any]:
    async def admit(_presented: str) -> BusGrant:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return decoded((await Callout(issuer=issuer(), admit=admit).answer(question())).decode())


async def test_a_grant_is_a_signed_user_of_the_account() -> None:
    ends_at = START + timedelta(hours=12)
    answer = await answered(BusGrant(cluster_id="c1", is_enrolled=True, expires_at=ends_at))
    key = nkeys.from_seed(SEED.encode())
    assert (answer["iss"], answer["sub"], answer["aud"]) == (key.public_key.decode(), "UX", "NX")
    token = answer["nats"]["jwt"]
    signed, _, signature = token.rpartition(".")
    key.verify(signed.encode(), base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    user = decoded(token)
    assert (user["sub"], user["aud"], user["exp"]) == ("UX", "SPOT", int(ends_at.timestamp()))
    subjects = [*user["nats"]["pub"]["allow"], *user["nats"]["sub"]["allow"]]
    assert all(subject.endswith((".c1", "_INBOX_c1.>")) for subject in subjects)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AgentRefusedError(), "The token is unknown, used up or revoked."),
        (RuntimeError("password=hush"), "the gateway cannot judge this now"),
    ],
)
async def test_a_failure_keeps_the_connection_out(error: Exception, text: str) -> None:
    answer = await answered(error)
    assert answer["nats"]["error"] == text
    assert "jwt" not in answer["nats"]


@pytest.mark.parametrize("data", [b"", b"a.b", b"a.e30.c", b"....", encoded({}) + b"." + encoded([1]) + b"."])
def test_what_is_no_question_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedQuestionError):
        read_question(data)


def test_a_question_does_not_show_its_token() -> None:
    assert "hush" not in repr(read_question(question("spot-agent.c1.hush")))


@pytest.mark.parametrize(
    "seed", ["", "nonsense", nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()]
)
def test_a_seed_that_is_no_accounts_is_refused(seed: str) -> None:
    with pytest.raises(SettingsError):
        CalloutIssuer(seed=seed, account_name="SPOT", clock=SetClock(), ids=SteadyIds())
