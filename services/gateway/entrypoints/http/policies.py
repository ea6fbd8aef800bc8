"""/clusters/{id}/policy and /node-template: read with an ETag, changed with If-Match."""

import zoneinfo

from aiohttp import web

from services.gateway.domain.access import Caller, Permission
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import body_of, etag, key_in_path, revision_expected
from services.gateway.errors import InvalidInputError
from services.gateway.handlers.configure_cluster import configure_cluster
from shared.contracts.v1.policy import NodeTemplate, Policy


def checked_policy(policy: Policy, *, field: str) -> Policy:
    """Give the policy back if its windows name real zones and days.

    Raises:
        InvalidInputError: one does not.
    """
    prefix = f"{field}." if field else ""
    for index, window in enumerate(policy.maintenance_windows):
        path = f"{prefix}maintenance_windows.{index}"
        if window.timezone not in zoneinfo.available_timezones():
            reason = f"{window.timezone[:64]} is no IANA time zone"
            raise InvalidInputError(f"{path}.timezone: {reason}.", fields={f"{path}.timezone": reason})
        if not window.days or not set(window.days) <= set(range(7)):
            reason = "must be numbers from 0 (Monday) to 6"
            raise InvalidInputError(f"{path}.days: {reason}.", fields={f"{path}.days": reason})
    return policy


async def get_policy(request: web.Request, caller: Caller) -> web.Response:
    """Show the policy."""
    cluster = await dependencies_of(request).inquiry.cluster(caller, key_in_path(request, "cluster_id"))
    held = cluster.configuration
    return web.json_response(held.policy.model_dump(mode="json"), headers=etag(held.revision))


async def put_policy(request: web.Request, caller: Caller) -> web.Response:
    """Replace the policy."""
    expected = revision_expected(request)
    policy = checked_policy(await body_of(request, Policy), field="")
    deps = dependencies_of(request)
    changed = await configure_cluster(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        expected_revision=expected,
        policy=policy,
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response(changed.policy.model_dump(mode="json"), headers=etag(changed.revision))


async def put_node_template(request: web.Request, caller: Caller) -> web.Response:
    """Replace the node template."""
    expected = revision_expected(request)
    template = await body_of(request, NodeTemplate)
    deps = dependencies_of(request)
    changed = await configure_cluster(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        expected_revision=expected,
        node_template=template,
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response(changed.node_template.model_dump(mode="json"), headers=etag(changed.revision))


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    path = "/clusters/{cluster_id}"
    return [
        guarded("GET", f"{path}/policy", get_policy, Permission.READ),
        guarded("PUT", f"{path}/policy", put_policy, Permission.CONFIGURE),
        guarded("PUT", f"{path}/node-template", put_node_template, Permission.CONFIGURE),
    ]
