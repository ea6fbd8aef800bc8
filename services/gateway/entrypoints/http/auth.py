"""/auth and /me."""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, SecretStr

from services.gateway.domain.access import Caller, Permission
from services.gateway.domain.people import LONGEST_PASSWORD
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded, open_to_all
from services.gateway.entrypoints.http.requests import body_of
from services.gateway.handlers.log_in import log_in
from services.gateway.handlers.log_out import log_out
from services.gateway.handlers.refresh_session import refresh_session
from services.gateway.handlers.show_caller import show_caller
from services.gateway.handlers.sign_up import sign_up
from services.gateway.handlers.start_session import LoggedIn


class SignUpBody(BaseModel):
    """POST /auth/sign-up."""

    email: str = Field(max_length=254)
    password: SecretStr
    organization: str = Field(min_length=1, max_length=100, pattern=r"\S")


class LogInBody(BaseModel):
    """POST /auth/log-in."""

    email: str = Field(max_length=254)
    password: SecretStr = Field(max_length=LONGEST_PASSWORD)


class RefreshBody(BaseModel):
    """POST /auth/refresh."""

    refresh_token: SecretStr = Field(max_length=512)


async def post_sign_up(request: web.Request) -> web.Response:
    """Found an organization."""
    body = await body_of(request, SignUpBody)
    deps = dependencies_of(request)
    granted = await sign_up(
        email=body.email,
        password=body.password.get_secret_value(),
        organization=body.organization.strip(),
        remote_address=request.remote,
        unit_of_work=deps.unit_of_work,
        passwords=deps.passwords,
        access_tokens=deps.access_tokens,
        secret_source=deps.secret_source,
        session_lifetime=deps.settings.refresh_token_lifetime,
        clock=deps.clock,
        ids=deps.ids,
    )
    return _granted(granted, status=201)


async def post_log_in(request: web.Request) -> web.Response:
    """Begin a session."""
    body = await body_of(request, LogInBody)
    deps = dependencies_of(request)
    granted = await log_in(
        email=body.email,
        password=body.password.get_secret_value(),
        remote_address=request.remote,
        unit_of_work=deps.unit_of_work,
        passwords=deps.passwords,
        access_tokens=deps.access_tokens,
        secret_source=deps.secret_source,
        session_lifetime=deps.settings.refresh_token_lifetime,
        attempts=deps.settings.log_in_attempts,
        window=deps.settings.log_in_window,
        clock=deps.clock,
        ids=deps.ids,
    )
    return _granted(granted)


async def post_refresh(request: web.Request) -> web.Response:
    """Rotate a refresh token."""
    body = await body_of(request, RefreshBody)
    deps = dependencies_of(request)
    granted = await refresh_session(
        refresh_token=body.refresh_token.get_secret_value(),
        remote_address=request.remote,
        unit_of_work=deps.unit_of_work,
        access_tokens=deps.access_tokens,
        secret_source=deps.secret_source,
        clock=deps.clock,
        ids=deps.ids,
    )
    return _granted(granted)


async def post_log_out(request: web.Request, caller: Caller) -> web.Response:
    """End the session."""
    deps = dependencies_of(request)
    await log_out(caller=caller, unit_of_work=deps.unit_of_work, clock=deps.clock, ids=deps.ids)
    return web.Response(status=204)


async def get_me(request: web.Request, caller: Caller) -> web.Response:
    """Say who is logged in."""
    me = await show_caller(caller=caller, unit_of_work=dependencies_of(request).unit_of_work)
    return web.json_response(
        {
            "user": {"id": me.user.id, "email": me.user.email},
            "organization": {"id": me.organization.id, "name": me.organization.name},
            "role": caller.role.value,
        }
    )


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [
        open_to_all("POST", "/auth/sign-up", post_sign_up),
        open_to_all("POST", "/auth/log-in", post_log_in),
        open_to_all("POST", "/auth/refresh", post_refresh),
        guarded("POST", "/auth/log-out", post_log_out, Permission.READ),
        guarded("GET", "/me", get_me, Permission.READ),
    ]


def _granted(granted: LoggedIn, *, status: int = 200) -> web.Response:
    body: dict[str, Any] = {
        "access_token": granted.access_token,
        "refresh_token": granted.refresh_token,
        "token_type": "Bearer",
        "expires_in": granted.expires_in,
        "organization": {"id": granted.organization.id, "name": granted.organization.name},
    }
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})
