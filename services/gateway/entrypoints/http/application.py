"""The HTTP application: every resource's routes behind one failure rule."""

import structlog
from aiohttp import web

from services.gateway.entrypoints.http import (
    accounts,
    auth,
    clusters,
    executions,
    plans,
    policies,
    regions,
    reports,
    safe_mode,
)
from services.gateway.entrypoints.http.dependencies import DEPENDENCIES, Dependencies
from services.gateway.entrypoints.http.guard import PREFIX
from services.gateway.entrypoints.http.problems import LARGEST_BODY_BYTES, problems

log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 5.0


async def get_healthz(_request: web.Request) -> web.Response:
    """Say that the process answers."""
    return web.json_response({"status": "alive"})


async def get_openapi(request: web.Request) -> web.Response:
    """List the routes as an OpenAPI document; bodies are described where the code declares them."""
    paths: dict[str, dict[str, object]] = {}
    for route in request.app.router.routes():
        if route.method == "HEAD" or route.resource is None:
            continue
        summary = (route.handler.__doc__ or "").partition("\n")[0]
        operation = {"summary": summary, "responses": {"default": {"description": "See the documentation."}}}
        paths.setdefault(route.resource.canonical, {})[route.method.lower()] = operation
    info = {"title": "Spot Optimizer", "version": "1"}
    return web.json_response({"openapi": "3.1.0", "info": info, "paths": paths})


def make_application(dependencies: Dependencies) -> web.Application:
    """Give the application."""
    application = web.Application(middlewares=[problems], client_max_size=LARGEST_BODY_BYTES)
    application[DEPENDENCIES] = dependencies
    application.router.add_get("/healthz", get_healthz)
    application.router.add_get(f"{PREFIX}/openapi.json", get_openapi)
    for module in (auth, accounts, clusters, policies, plans, executions, reports, regions, safe_mode):
        application.router.add_routes(module.routes())
    return application


class HttpServer:
    """Serves the application."""

    def __init__(self, application: web.Application, *, host: str, port: int) -> None:
        # A watcher that goes away ends its handler, which otherwise would look on for nobody.
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
        )
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Listen; return the port, which matters when 0 was asked for.

        Raises:
            OSError: the port is in use.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        bound = int(self._runner.addresses[0][1])
        log.info("api_served", host=self._host, port=bound)
        return bound

    async def close(self) -> None:
        """Stop listening; requests under way have a few seconds."""
        await self._runner.cleanup()
