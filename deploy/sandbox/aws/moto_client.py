"""Requests to moto, for callers and for the world itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from deploy.sandbox.aws.query_protocol import Answer, Form

NOT_FORWARDED = frozenset({"content-length", "transfer-encoding", "connection", "expect", "accept-encoding"})

EC2_VERSION = "2016-11-15"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, where, and the headers that say so."""

    account: str
    region: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Passed:
    """moto's answer, untouched."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def caller_of(account: str, region: str, access_key_id: str, service: str = "ec2") -> Caller:
    """Make a caller for the world's own requests; moto reads the scope and checks no signature."""
    scope = f"{access_key_id}/20260101/{region}/{service}/aws4_request"
    return Caller(
        account,
        region,
        {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        },
    )


class MotoClient:
    """One connection pool to moto."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Passed:
        """Forward a request."""
        kept = {k: v for k, v in headers.items() if k.lower() not in NOT_FORWARDED}
        async with self._http.request(
            method, URL(self._url + path, encoded=True), headers=kept, data=body, allow_redirects=False
        ) as response:
            return Passed(response.status, response.headers.copy(), await response.read())

    async def form(self, caller: Caller, form: Form) -> Answer:
        """Send a query-protocol request as `caller`."""
        passed = await self.send("POST", "/", caller.headers, form.encode())
        return Answer(passed.status, passed.body, passed.headers.get("Content-Type", "text/xml"))

    async def ec2(self, caller: Caller, action: str, values: Mapping[str, str]) -> Answer:
        """Call one EC2 action as `caller`."""
        return await self.form(caller, Form({"Action": action, "Version": EC2_VERSION, **values}))
