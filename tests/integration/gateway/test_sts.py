"""Roles are assumed through the ordinary client: of moto's STS, and of one that refuses or is away."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aioboto3
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.sandbox.aws.moto_host import MotoHost, account_of
from services.gateway.adapters.sts import StsCloudAccess
from services.gateway.domain.cloud_accounts import AwsSession, CloudAccount, Purpose
from services.gateway.errors import AwsUnavailableError, RoleRefusedError
from tests.fakes.gateway import START

pytestmark = pytest.mark.sandbox

ACCOUNT = CloudAccount(
    id="a",
    organization_id="org",
    name="production",
    account_number="222222222222",
    role_arn="arn:aws:iam::222222222222:role/spot",
    sealed_external_id=b"",
    region="eu-west-1",
    created_at=START,
)
ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{}</Code><Message>No.</Message></Error><RequestId>r</RequestId></ErrorResponse>"""


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's own, as an operator would set them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-key")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    host = MotoHost()
    monkeypatch.setenv("AWS_ENDPOINT_URL", host.start())
    yield
    host.stop()


@pytest.fixture
async def refusals(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[tuple[int, str]]]:
    """An STS that answers what the test put in."""
    answers: list[tuple[int, str]] = []

    async def answer(_request: web.Request) -> web.Response:
        status, code = answers[0]
        return web.Response(status=status, text=ERROR.format(code), content_type="text/xml")

    application = web.Application()
    application.router.add_post("/", answer)
    server = TestServer(application)
    await server.start_server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(server.make_url("")))
    yield answers
    await server.close()


async def assume(account: CloudAccount = ACCOUNT, purpose: Purpose = Purpose.WRITE) -> AwsSession:
    return await StsCloudAccess(aioboto3.Session()).assume(account, external_id="hush", purpose=purpose)


async def test_without_credentials_of_our_own_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AwsUnavailableError, match="no AWS credentials"):
        await assume()


def test_regions_are_those_that_aws_has() -> None:
    regions = StsCloudAccess(aioboto3.Session()).regions()
    assert {"us-east-1", "cn-north-1", "us-gov-west-1"} <= set(regions)
    assert "us-nowhere-9" not in regions


@pytest.mark.usefixtures("moto")
async def test_a_session_belongs_to_the_customers_account() -> None:
    session = await assume()
    assert session.assumed_account_number == ACCOUNT.account_number
    assert account_of(session.access_key_id) == ACCOUNT.account_number
    assert session.expires_at.tzinfo is not None
    assert session.secret_access_key not in repr(session)


async def test_what_sts_refuses_stays_refused(refusals: list[tuple[int, str]]) -> None:
    refusals.append((403, "AccessDenied"))
    with pytest.raises(RoleRefusedError, match="AccessDenied") as caught:
        await assume()
    assert "hush" not in str(caught.value)


async def test_an_sts_that_fails_or_is_away_may_answer_later(
    refusals: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refusals.append((400, "Throttling"))
    with pytest.raises(AwsUnavailableError):
        await assume(replace(ACCOUNT, region="us-east-1"), Purpose.READ)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(AwsUnavailableError):
        await assume()
