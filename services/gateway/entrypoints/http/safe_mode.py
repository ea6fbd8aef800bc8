"""/safe-mode."""

from aiohttp import web
from pydantic import BaseModel, Field, StrictBool

from services.gateway.domain.access import Caller, Permission
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import body_of
from services.gateway.handlers.set_safe_mode import SafeModeScope, set_safe_mode


class SafeModeBody(BaseModel):
    """PUT /safe-mode."""

    scope: SafeModeScope
    id: str = Field(max_length=64)
    on: StrictBool


async def put_safe_mode(request: web.Request, caller: Caller) -> web.Response:
    """Turn safe mode."""
    body = await body_of(request, SafeModeBody)
    deps = dependencies_of(request)
    await set_safe_mode(
        caller=caller,
        scope=body.scope,
        target_id=body.id,
        on=body.on,
        unit_of_work=deps.unit_of_work,
        switch=deps.safe_mode,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response(body.model_dump(mode="json"))


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [guarded("PUT", "/safe-mode", put_safe_mode, Permission.OPERATE)]
