"""The address that the product's clients talk to.

What moto answers well goes through byte for byte. The rest is answered or repaired here, by service and
action. Every write is logged: who judges the product counts launches and terminations here, not in the
product's own tables.
"""

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from deploy.sandbox.aws import moto_host
from deploy.sandbox.aws.faults import Faults
from deploy.sandbox.aws.fleets import create_fleet
from deploy.sandbox.aws.launches import Launches, Outcome
from deploy.sandbox.aws.moto_client import Caller, MotoClient
from deploy.sandbox.aws.notices import Notices
from deploy.sandbox.aws.price_api import SpotPriceApi, json_error, placement_scores, products
from deploy.sandbox.aws.query_protocol import (
    Answer,
    Form,
    ec2_error,
    error_in,
    query_error,
    without_instances,
)
from deploy.sandbox.aws.records import Call, InstanceTypeFacts, Seed
from deploy.sandbox.aws.registry import Registry

ANY_REQUEST_BYTES = 64 * 1024**2

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")

READS = ("Describe", "Get", "List")

LOGGED_SERVICES = frozenset({"ec2", "autoscaling"})

FILTERS_MOTO_LACKS = {
    "instance-lifecycle": "instanceLifecycle",
    "client-token": "clientToken",
    "launch-time": "launchTime",
}
"""Filter of DescribeInstances and the element of an instance that it compares."""


class Proxy:
    """Sorts requests."""

    def __init__(
        self,
        *,
        moto: MotoClient,
        launches: Launches,
        registry: Registry,
        faults: Faults,
        facts: Mapping[str, InstanceTypeFacts],
        now: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._moto = moto
        self._launches = launches
        self._registry = registry
        self._faults = faults
        self._facts = facts
        self._now = now
        self._wall_clock = wall_clock
        self._spot_prices = SpotPriceApi(launches.market)
        self._advisor = json.dumps(
            launches.market.advisor_data({f.name: (f.vcpus, f.memory_mib / 1024) for f in facts.values()})
        ).encode()
        self.seed: Seed | None = None
        self.notices: Notices | None = None
        """Both are set once the accounts are seeded, before the first caller."""

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application(client_max_size=ANY_REQUEST_BYTES)
        app.router.add_get("/spot-advisor-data.json", self._advisor_file)
        app.router.add_route("*", "/{path:.*}", self._any)
        return app

    async def _advisor_file(self, _: web.Request) -> web.Response:
        return web.Response(body=self._advisor, content_type="application/json")

    async def _any(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = await self._answer(request, body)
        if answer is not None:
            return web.Response(
                status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type}
            )
        passed = await self._moto.send(request.method, request.raw_path, request.headers, body)
        headers = {
            k: v
            for k, v in passed.headers.items()
            if k.lower() not in ("transfer-encoding", "connection", "content-length", "server", "date")
        }
        return web.Response(status=passed.status, body=passed.body, headers=headers)

    async def _answer(self, request: web.Request, body: bytes) -> Answer | None:
        """Answer what is ours; None for what moto answers."""
        match = CREDENTIAL.search(request.headers.get("Authorization", ""))
        if match is None:
            return None
        access_key_id, region, service = match.groups()
        target = request.headers.get("X-Amz-Target", "")
        is_json = bool(target)
        form = Form({}) if is_json else Form.parse(body)
        action = target.rpartition(".")[2] if is_json else form.get("Action")
        request_id = str(uuid.uuid4())
        fault = self._faults.take(action)
        if fault is not None:
            return _error(service, is_json, *fault, request_id=request_id)
        caller = Caller(moto_host.account_of(access_key_id), region, dict(request.headers))
        if service == "pricing" and action == "GetProducts":
            return products(self._launches.market, self._facts, body)
        if service == "sts" and action == "AssumeRole":
            return self._assume_role(form, request_id)
        if service not in LOGGED_SERVICES or is_json:
            return None
        if service == "ec2" and action == "DescribeSpotPriceHistory":
            return self._spot_prices.answer(form, now=self._wall_clock(), request_id=request_id)
        if service == "ec2" and action == "GetSpotPlacementScores":
            return placement_scores(
                self._launches.market, moto_host.zones(region), form, request_id=request_id
            )
        if service == "ec2" and action == "DescribeInstances":
            return await self._describe_instances(caller, form)
        if action.startswith(READS) or form.get("DryRun") == "true":
            return None
        handler = self._writes().get(action, self._other_write) if service == "ec2" else self._other_write
        outcome = await handler(caller, form, request_id)
        self._log(caller, service, form, outcome)
        return outcome.answer

    def _writes(self) -> Mapping[str, Callable[[Caller, Form, str], Awaitable[Outcome]]]:
        return {
            "RunInstances": self._run_instances,
            "CreateFleet": self._create_fleet,
            "TerminateInstances": self._terminate,
            "CreateTags": self._create_tags,
        }

    async def _run_instances(self, caller: Caller, form: Form, request_id: str) -> Outcome:
        refused = self._elsewhere(caller, request_id)
        return refused or await self._launches.run_instances(caller, form, request_id=request_id)

    async def _create_fleet(self, caller: Caller, form: Form, request_id: str) -> Outcome:
        refused = self._elsewhere(caller, request_id)
        if refused is None and form.get("Type") != "instant":
            message = "The sandbox knows fleets of type instant only."
            refused = Outcome(
                ec2_error("InvalidParameterValue", message, status=400, request_id=request_id),
                error="InvalidParameterValue",
            )
        return refused or await create_fleet(self._launches, caller, form, request_id=request_id)

    def _elsewhere(self, caller: Caller, request_id: str) -> Outcome | None:
        region = self._launches.market.region
        if caller.region == region:
            return None
        message = f"The sandbox has capacity in {region} only, not in {caller.region}."
        answer = ec2_error("Unsupported", message, status=400, request_id=request_id)
        return Outcome(answer, error="Unsupported")

    async def _terminate(self, caller: Caller, form: Form, request_id: str) -> Outcome:
        outcome = await self._other_write(caller, form, request_id)
        if outcome.error:
            return outcome
        ids = tuple(form.texts("InstanceId"))
        for instance_id in ids:
            gone = self._registry.gone(instance_id, by="product")
            if gone is not None and self.notices is not None:
                await self.notices.terminated(gone)
        return Outcome(outcome.answer, ids)

    async def _create_tags(self, caller: Caller, form: Form, request_id: str) -> Outcome:
        outcome = await self._other_write(caller, form, request_id)
        if not outcome.error:
            tags = {tag.get("Key"): tag.get("Value") for tag in form.items("Tag")}
            for instance_id in form.texts("ResourceId"):
                self._registry.tagged(instance_id, tags)
        return outcome

    async def _other_write(self, caller: Caller, form: Form, _: str) -> Outcome:
        answer = await self._moto.form(caller, form)
        error = error_in(answer.body) if answer.status >= 400 else None
        return Outcome(answer, error=error[0] if error else "")

    async def _describe_instances(self, caller: Caller, form: Form) -> Answer | None:
        filters = form.filters()
        ours = {FILTERS_MOTO_LACKS[name]: v for name, v in filters.items() if name in FILTERS_MOTO_LACKS}
        if not ours:
            return None
        values: dict[str, str] = {}
        theirs = ((n, v) for n, v in filters.items() if n not in FILTERS_MOTO_LACKS)
        for number, (name, wanted) in enumerate(theirs, start=1):
            values[f"Filter.{number}.Name"] = name
            values |= {f"Filter.{number}.Value.{i}": text for i, text in enumerate(wanted, start=1)}
        answer = await self._moto.form(caller, form.replacing(values, without=["Filter"]))
        if answer.status != 200:
            return answer
        return Answer(200, without_instances(answer.body, ours), answer.content_type)

    def _assume_role(self, form: Form, request_id: str) -> Answer | None:
        """Check the external id, which moto does not."""
        seed = self.seed
        if seed is None or form.get("RoleArn") != seed.role_arn or form.get("ExternalId") == seed.external_id:
            return None
        message = f"Not authorized to perform sts:AssumeRole on resource: {seed.role_arn}"
        return query_error("AccessDenied", message, status=403, request_id=request_id)

    def _log(self, caller: Caller, service: str, form: Form, outcome: Outcome) -> None:
        self._registry.calls.append(
            Call(
                at=self._now(),
                account=caller.account,
                service=service,
                action=form.get("Action"),
                parameters={k: v for k, v in form.values.items() if k not in ("Action", "Version")},
                client_token=form.get("ClientToken"),
                instance_ids=outcome.instance_ids,
                error=outcome.error,
                repeated=outcome.repeated,
            )
        )


def _error(service: str, is_json: bool, code: str, message: str, status: int, *, request_id: str) -> Answer:  # noqa: FBT001
    if is_json:
        return json_error(code, message, status=status)
    write = ec2_error if service == "ec2" else query_error
    return write(code, message, status=status, request_id=request_id)
