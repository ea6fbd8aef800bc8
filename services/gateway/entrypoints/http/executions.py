"""/clusters/{id}/executions: look, watch, stop."""

import contextlib
import json

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from services.gateway.domain.access import Caller, Permission
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import id_in_path, key_in_path, number_in_query
from services.gateway.handlers.stop_execution import stop_execution
from services.gateway.handlers.watch_execution import Watch
from shared.kernel.errors import UnavailableError


async def get_executions(request: web.Request, caller: Caller) -> web.Response:
    """List executions, newest first."""
    limit = number_in_query(request, "limit", default=20, least=1, most=100)
    found = await dependencies_of(request).inquiry.executions(
        caller, key_in_path(request, "cluster_id"), limit=limit
    )
    return web.json_response(found.model_dump(mode="json"))


async def get_execution(request: web.Request, caller: Caller) -> web.Response:
    """Show an execution with its steps."""
    found = await dependencies_of(request).inquiry.execution(
        caller, key_in_path(request, "cluster_id"), id_in_path(request, "execution_id")
    )
    return web.json_response(found.model_dump(mode="json"))


async def post_stop(request: web.Request, caller: Caller) -> web.Response:
    """Begin no further move."""
    deps = dependencies_of(request)
    await stop_execution(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        execution_id=id_in_path(request, "execution_id"),
        inquiry=deps.inquiry,
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response({"status": "stop requested"}, status=202)


async def get_events(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Watch an execution: its state and steps as they change, then `done`, and the stream ends."""
    deps, cluster_id = dependencies_of(request), key_in_path(request, "cluster_id")
    execution_id = id_in_path(request, "execution_id")
    seen = await deps.inquiry.execution(caller, cluster_id, execution_id)
    watch = Watch()
    async with sse_response(request, ping_interval=deps.settings.keepalive_seconds) as stream:
        # A watcher who goes away needs no answer.
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while True:
                for name, content in watch.changes(seen):
                    await stream.send(json.dumps(content), event=name)
                if watch.is_done or not stream.is_connected():
                    break
                await deps.clock.sleep(deps.settings.watch_period_seconds)
                try:
                    seen = await deps.inquiry.execution(caller, cluster_id, execution_id)
                except UnavailableError:
                    # Headers are out: the watcher is told, and the next look may succeed.
                    await _tell_trouble(stream)
    return stream


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    path = "/clusters/{cluster_id}/executions"
    return [
        guarded("GET", path, get_executions, Permission.READ),
        guarded("GET", f"{path}/{{execution_id}}", get_execution, Permission.READ),
        guarded("POST", f"{path}/{{execution_id}}/stop", post_stop, Permission.OPERATE),
        guarded("GET", f"{path}/{{execution_id}}/events", get_events, Permission.READ),
    ]


async def _tell_trouble(stream: EventSourceResponse) -> None:
    detail = "The executor does not answer now; the stream goes on when it does."
    await stream.send(json.dumps({"detail": detail}), event="trouble")
