"""Who may call which route: a route that is not declared open needs an access token and a permission."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
from aiohttp import web

from services.gateway.domain.access import Caller, Permission, may
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.errors import ForbiddenError, NotAuthenticatedError

PREFIX = "/api/v1"

Guarded = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
Open = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(method: str, path: str, handler: Guarded, permission: Permission) -> web.RouteDef:
    """Declare a route for people whose role has the permission."""

    async def checked(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        if not may(caller.role, permission):
            raise ForbiddenError(f"Your role, {caller.role.value}, does not allow this.")
        structlog.contextvars.bind_contextvars(organization_id=caller.organization_id, user_id=caller.user_id)
        return await handler(request, caller)

    checked.__doc__ = handler.__doc__
    return web.route(method, PREFIX + path, checked)


def open_to_all(method: str, path: str, handler: Open) -> web.RouteDef:
    """Declare a route that needs no log-in."""
    return web.route(method, PREFIX + path, handler)


def caller_of(request: web.Request) -> Caller:
    """Say who calls.

    Raises:
        NotAuthenticatedError: no valid access token came along.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticatedError
    caller = dependencies_of(request).access_tokens.read(token.strip())
    return replace(caller, remote_address=request.remote)
