"""What EC2 and the Price List answer, written down beforehand and served by a process of its own.

So that a measurement of pricing is of pricing: of its requests, its parsing, its tables and its messages.
"""

import asyncio
import json
import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import botocore.session
from aiohttp import web

from tests.unit.pricing.adapters.offer_files import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

REGION = "us-east-1"
PAGE = {"DescribeInstanceTypes": 100, "DescribeInstanceTypeOfferings": 1000, "DescribeSpotPriceHistory": 1000}
PRODUCTS_PAGE = 100
START_SECONDS = 60


@dataclass(frozen=True)
class Answers:
    """Bodies by action, page after page."""

    pages: dict[str, list[bytes]] = field(default_factory=dict)

    def ec2(self, action: str, member: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the answer of an EC2 action, in pages as long as EC2's."""
        shape = botocore.session.get_session().get_service_model("ec2").operation_model(action).output_shape
        size = PAGE.get(action, len(rows) or 1)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
        self.pages[action] = [
            _xml(shape, action, {member: part} | ({"NextToken": str(n + 1)} if n + 1 < len(parts) else {}))
            for n, part in enumerate(parts)
        ]

    def products(self, usd_per_hour: Mapping[str, str]) -> None:
        """Write GetProducts' answer."""
        items = [json.dumps(_product(name, usd)) for name, usd in usd_per_hour.items()]
        parts = [items[start : start + PRODUCTS_PAGE] for start in range(0, len(items), PRODUCTS_PAGE)]
        self.pages["GetProducts"] = [
            json.dumps(
                {"FormatVersion": "aws_v1", "PriceList": part}
                | ({"NextToken": str(n + 1)} if n + 1 < len(parts) else {})
            ).encode()
            for n, part in enumerate(parts)
        ]


def spot_row(name: str, zone: str, usd: str, at: datetime) -> dict[str, Any]:
    """Give one row of DescribeSpotPriceHistory."""
    return {
        "InstanceType": name,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": usd,
        "Timestamp": at.isoformat(),
        "AvailabilityZone": zone,
    }


@contextmanager
def served(answers: Answers) -> "Iterator[str]":
    """Serve them from another process; give the address."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(answers, there), daemon=True)
    process.start()
    try:
        if not here.poll(START_SECONDS):
            raise TimeoutError("the server of answers does not start")
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(answers: Answers, ready: "Connection") -> None:
    async def answer(request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        body = await request.read()
        if target:
            action, token = target.rpartition(".")[2], json.loads(body).get("NextToken", "0")
            kind = "application/x-amz-json-1.1"
        else:
            form = parse_qs(body.decode())
            action, token = form["Action"][0], form.get("NextToken", ["0"])[0]
            kind = "text/xml"
        return web.Response(body=answers.pages[action][int(token)], content_type=kind)

    async def run() -> None:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    asyncio.run(run())


def _xml(shape: Any, action: str, value: Mapping[str, Any]) -> bytes:
    return f"<{action}Response>{_structure(shape, value)}</{action}Response>".encode()


def _structure(shape: Any, value: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_any(member, value[key])}</{name}>"
        for key, member in shape.members.items()
        if key in value
        for name in (member.serialization.get("name", key),)
    )


def _any(shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        return _structure(shape, value)
    if shape.type_name == "list":
        return "".join(f"<item>{_any(shape.member, item)}</item>" for item in value)
    return escape(str(value).lower() if isinstance(value, bool) else str(value))


def _product(name: str, usd: str) -> dict[str, Any]:
    return {
        "product": {"attributes": {"instanceType": name, "regionCode": REGION, **PLAIN}},
        "terms": {
            "OnDemand": {"t": {"priceDimensions": {"d": {"unit": "Hrs", "pricePerUnit": {"USD": usd}}}}}
        },
    }
