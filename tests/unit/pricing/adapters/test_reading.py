"""What AWS's answers look like, and what they look like when they are broken."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import ClientError, EndpointConnectionError

from services.pricing.adapters import spot_advisor
from services.pricing.adapters.aws_errors import own_errors
from services.pricing.adapters.spot_advisor import SpotAdvisorFile, read_ratings
from services.pricing.domain.instance_types import instance_type_from
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.errors import SourceForbiddenError, SourceThrottledError, SourceUnavailableError

MANY_TYPES = {f"m5.{number}xlarge": {"s": 70, "r": number % 5} for number in range(20_000)}
LAST_MODIFIED = "Thu, 01 Jan 2026 10:00:00 GMT"
FILE = {"spot_advisor": {"us-east-1": {"Linux": MANY_TYPES, "Windows": {"m5.large": {"r": 0}}}}}


@pytest.fixture
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A server with the file that is its parameter: status and body, sent in small parts."""
    status, body = request.param

    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Last-Modified": LAST_MODIFIED})
        await response.prepare(asked)
        for start in range(0, len(body), 50_000):
            await response.write(body[start : start + 50_000])
        return response

    app = web.Application()
    app.router.add_get("/file.json", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/file.json"
    await runner.cleanup()


@pytest.mark.parametrize("serve", [(200, json.dumps(FILE).encode())], indirect=True)
async def test_a_file_that_comes_in_many_parts_is_read_whole(serve: str) -> None:
    ratings = await SpotAdvisorFile(serve).ratings()
    assert len(ratings.bands["us-east-1"]) == len(MANY_TYPES)
    assert ratings.published_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert ratings.bands["us-east-1"]["m5.3xlarge"] is AdvisorBand(3)


@pytest.mark.parametrize(
    "serve", [(200, b"<html>"), (404, b"{}"), (503, b""), (200, b" " * 2_000)], indirect=True
)
async def test_what_is_not_the_file_is_an_absent_source(serve: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot_advisor, "LARGEST_FILE_BYTES", 1_000)
    with pytest.raises(SourceUnavailableError, match="reading spot advisor"):
        await SpotAdvisorFile(serve).ratings()


async def test_nobody_there_is_an_absent_source() -> None:
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1"):
        await SpotAdvisorFile("http://127.0.0.1:1/file.json").ratings()


@pytest.mark.parametrize("rating", [{"r": 5}, {"r": -1}, {"r": "2"}, {"r": None}, {}])
def test_a_band_that_is_none_is_left_out(rating: dict[str, Any]) -> None:
    body = {"spot_advisor": {"us-east-1": {"Linux": {"m5.large": rating, "c5.large": {"r": 0}}}}}
    assert read_ratings(json.dumps(body).encode()) == {"us-east-1": {"c5.large": AdvisorBand(0)}}


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "DescribeInstanceTypes")


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (client_error("RequestLimitExceeded"), SourceThrottledError),
        (client_error("UnauthorizedOperation"), SourceForbiddenError),
        (client_error("InternalError"), SourceUnavailableError),
        (EndpointConnectionError(endpoint_url="http://x"), SourceUnavailableError),
    ],
)
def test_errors_of_aws_become_ours(raised: Exception, ours: type[Exception]) -> None:
    with pytest.raises(ours, match="doing it"), own_errors("doing it"):
        raise raised


def description(**changes: Any) -> dict[str, Any]:
    return {
        "InstanceType": "m5.large",
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 8192},
        "NetworkInfo": {"MaximumNetworkInterfaces": 3, "Ipv4AddressesPerInterface": 10},
        "SupportedUsageClasses": ["on-demand", "spot"],
    } | changes


def test_the_facts_of_a_type() -> None:
    found = instance_type_from(description())
    assert found is not None
    assert (found.vcpus, found.memory_bytes, found.max_pods) == (2, 8 * 2**30, 29)
    assert (found.architectures, found.supports_spot, found.is_bare_metal) == (("amd64",), True, False)
    gpus = {"Gpus": [{"Manufacturer": "NVIDIA", "Count": 4}, {"Manufacturer": "NVIDIA", "Count": 4}]}
    with_gpus = instance_type_from(description(GpuInfo=gpus))
    assert with_gpus is not None
    assert with_gpus.gpus == {"nvidia.com/gpu": 8}


def test_pods_get_addresses_from_the_default_network_card_only() -> None:
    cards = [{"NetworkCardIndex": i, "MaximumNetworkInterfaces": 15 + i} for i in range(2)]
    network = {
        "MaximumNetworkInterfaces": 31,
        "Ipv4AddressesPerInterface": 50,
        "DefaultNetworkCardIndex": 1,
        "NetworkCards": cards,
    }
    found = instance_type_from(description(NetworkInfo=network))
    assert found is not None
    assert found.max_pods == 16 * 49 + 2


def test_how_many_volumes_a_type_takes_is_known_or_not() -> None:
    plain = instance_type_from(description())
    assert plain is not None
    assert (plain.ebs_attachments, plain.shares_attachments, plain.is_nitro) == (None, True, True)
    ebs = {"AttachmentLimitType": "dedicated", "MaximumEbsAttachments": 32}
    known = instance_type_from(description(EbsInfo=ebs, Hypervisor="xen"))
    assert known is not None
    assert (known.ebs_attachments, known.shares_attachments, known.is_nitro) == (32, False, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"InstanceType": "mac2.metal"},
        {"ProcessorInfo": {"SupportedArchitectures": ["i386"]}},
        {"NetworkInfo": {}},
    ],
)
def test_what_kubernetes_cannot_run_on_is_left_out(changes: dict[str, Any]) -> None:
    assert instance_type_from(description(**changes)) is None


@pytest.mark.parametrize("text", ["", "yesterday", "Thu, 99 Foo 2026", "Thu, 01 Jan 2026 10:00:00 -0000"])
def test_a_date_that_is_none_is_unknown(text: str) -> None:
    assert spot_advisor._instant(text) is None
