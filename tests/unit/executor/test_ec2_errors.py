"""What each of EC2's refusals means for a launch: try again, try another, tell others, or give up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from services.executor.adapters.credentials import Lent
from services.executor.adapters.ec2 import Ec2Cloud
from services.executor.errors import CloudRefusedError, CloudUnavailableError
from services.executor.ports import Blame


class FakeSessions:
    """Lends a session whose every call answers, or raises, the same."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.forgotten: list[str] = []

    async def session(self, cluster_id: str) -> Lent:
        return Lent(self, "us-east-1", datetime(2026, 1, 1, tzinfo=UTC))

    def forget(self, cluster_id: str) -> None:
        self.forgotten.append(cluster_id)

    @asynccontextmanager
    async def client(self, *_: object, **__: object) -> AsyncIterator["FakeSessions"]:
        yield self

    async def create_fleet(self, **_: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    terminate_instances = create_fleet


def refusal(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "CreateFleet")


def cloud(answer: object) -> tuple[Ec2Cloud, FakeSessions]:
    sessions = FakeSessions(answer)
    return Ec2Cloud(sessions), sessions  # type: ignore[arg-type]


async def test_an_answer_with_an_instance_is_a_success_whatever_its_errors_say() -> None:
    ec2, _ = cloud(
        {"Instances": [{"InstanceIds": ["i-1"]}], "Errors": [{"ErrorCode": "InsufficientInstanceCapacity"}]}
    )
    assert (await ec2.launch("c1", "{}")).instance_id == "i-1"


@pytest.mark.parametrize(
    ("answer", "blame"),
    [
        ({"Instances": [], "Errors": [{"ErrorCode": "InsufficientInstanceCapacity"}]}, Blame.POOL),
        ({"Instances": [], "Errors": [{"ErrorCode": "VcpuLimitExceeded"}]}, Blame.ACCOUNT),
        ({"Instances": [], "Errors": [{"ErrorCode": "SomethingNew"}]}, Blame.ACCOUNT),
        ({"Instances": [], "Errors": [{"ErrorCode": "UnauthorizedOperation"}]}, Blame.REQUEST),
        ({"Instances": [], "Errors": []}, Blame.ACCOUNT),
        (refusal("InsufficientInstanceCapacity", 500), Blame.POOL),
        (refusal("InvalidFleetConfig"), Blame.REQUEST),
        (refusal("SomethingNew"), Blame.REQUEST),
    ],
)
async def test_who_is_to_blame(answer: object, blame: Blame) -> None:
    ec2, _ = cloud(answer)
    found = await ec2.launch("c1", "{}")
    assert (found.instance_id, found.blame) == (None, blame)


@pytest.mark.parametrize(
    "answer",
    [
        refusal("RequestLimitExceeded", 503),
        refusal("Throttling"),
        refusal("InternalError", 500),
        EndpointConnectionError(endpoint_url="http://ec2"),
        TimeoutError(),
    ],
    ids=repr,
)
async def test_what_may_be_repeated(answer: Exception) -> None:
    ec2, _ = cloud(answer)
    with pytest.raises(CloudUnavailableError):
        await ec2.launch("c1", "{}")


async def test_a_session_that_has_ended_is_asked_for_anew() -> None:
    ec2, sessions = cloud(refusal("ExpiredToken"))
    with pytest.raises(CloudUnavailableError):
        await ec2.launch("c1", "{}")
    assert sessions.forgotten == ["c1"]


async def test_terminating_what_is_gone_is_done() -> None:
    await cloud(refusal("InvalidInstanceID.NotFound"))[0].terminate("c1", "i-1")
    with pytest.raises(CloudRefusedError):
        await cloud(refusal("UnauthorizedOperation", 403))[0].terminate("c1", "i-1")
