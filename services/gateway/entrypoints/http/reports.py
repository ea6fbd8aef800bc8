"""/savings, /activity and /audit: what reporting knows."""

from aiohttp import web

from services.gateway.domain.access import Caller, Permission
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import instant_in_query, key_in_query, number_in_query
from services.gateway.errors import InvalidInputError


async def get_savings(request: web.Request, caller: Caller) -> web.Response:
    """Show what was saved."""
    since, until = instant_in_query(request, "since"), instant_in_query(request, "until")
    if since is not None and until is not None and since >= until:
        raise InvalidInputError("since must be before until.", fields={"since": "must be before until"})
    found = await dependencies_of(request).inquiry.savings(
        caller, cluster_id=key_in_query(request, "cluster_id"), since=since, until=until
    )
    return web.json_response(found.model_dump(mode="json"))


async def get_activity(request: web.Request, caller: Caller) -> web.Response:
    """Show what happened, newest first."""
    found = await dependencies_of(request).inquiry.activity(
        caller,
        cluster_id=key_in_query(request, "cluster_id"),
        limit=number_in_query(request, "limit", default=50, least=1, most=500),
    )
    return web.json_response(found.model_dump(mode="json"))


async def get_audit(request: web.Request, caller: Caller) -> web.Response:
    """Show who did what, oldest first."""
    found = await dependencies_of(request).inquiry.audit(
        caller,
        after=number_in_query(request, "after", default=0, least=0, most=2**53),
        limit=number_in_query(request, "limit", default=100, least=1, most=1000),
    )
    return web.json_response(found.model_dump(mode="json"))


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [
        guarded("GET", "/savings", get_savings, Permission.READ),
        guarded("GET", "/activity", get_activity, Permission.READ),
        guarded("GET", "/audit", get_audit, Permission.AUDIT),
    ]
