"""/healthz, /readyz and /metrics: whether the process lives, whether it can work, what it counts."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[None]]


class Health:
    """Knows why a process is not ready; an empty list of reasons is readiness."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._troubles: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    def check(self, name: str, check: Check) -> None:
        """Ask this at every /readyz; what it raises is the reason."""
        self._checks[name] = check

    def trouble(self, name: str, reason: str | None) -> None:
        """Report a trouble, or its end (None)."""
        if reason is None:
            self._troubles.pop(name, None)
        else:
            self._troubles[name] = reason

    async def reasons(self) -> dict[str, str]:
        """Give what stands in the way of work, by name."""
        found = dict(self._troubles)
        for name, check in self._checks.items():
            try:
                await check()
            except Exception as error:
                found[name] = str(error) or type(error).__name__
        return found

    async def serve(self, *, host: str, port: int) -> int:
        """Listen; return the port, which matters when 0 was asked for."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = int(self._runner.addresses[0][1])
        log.info("health_served", host=host, port=bound)
        return bound

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = await self.reasons()
        status = "ready" if not reasons else "not ready"
        return web.json_response({"status": status, "reasons": reasons}, status=503 if reasons else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
