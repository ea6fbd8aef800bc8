"""/regions: what is known of a region's market, the same for everybody."""

from aiohttp import web

from services.gateway.domain.access import Caller, Permission
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import key_in_path


async def get_flags(request: web.Request, _caller: Caller) -> web.Response:
    """List the pools in which interruptions or a lack of capacity were seen lately, in any cluster."""
    found = await dependencies_of(request).inquiry.flags(key_in_path(request, "region"))
    return web.json_response(found.model_dump(mode="json"))


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [guarded("GET", "/regions/{region}/flags", get_flags, Permission.READ)]
