"""How the demo steers the sandbox and asks what happened; the product never calls this."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from deploy.sandbox import report
from deploy.sandbox.aws.launches import LaunchRefusedError
from deploy.sandbox.kubernetes.errors import ApiError
from deploy.sandbox.kubernetes.nodes import allocatable_bytes, allocatable_millicores
from deploy.sandbox.world import NothingToInterruptError, World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a caller got wrong with one sentence."""
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response({"detail": str(error)}, status=error.code)
    except NothingToInterruptError as error:
        return web.json_response({"detail": str(error)}, status=409)
    except (LaunchRefusedError, KeyError, TypeError, ValueError) as error:
        return web.json_response({"detail": f"{type(error).__name__}: {error}"}, status=400)


class Control:
    """Serves the control API of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._marks: dict[str, dict[str, Any]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen on 127.0.0.1 and return the URL."""
        app = web.Application(middlewares=[_explain], client_max_size=256 * 2**20)
        app.add_routes(
            [
                web.post("/manifests", self._manifests),
                web.post("/nodes", self._nodes),
                web.get("/settled", self._settled),
                web.get("/state", self._state),
                web.get("/catalogue", self._catalogue),
                web.post("/interrupt", self._interrupt),
                web.post("/faults", self._faults),
                web.post("/mark", self._mark),
                web.get("/report", self._report),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _manifests(self, request: web.Request) -> web.Response:
        manifests = (await request.json())["manifests"]
        created = [self._world.cluster.apply(manifest) for manifest in manifests]
        return web.json_response({"created": len(created)}, status=201)

    async def _nodes(self, request: web.Request) -> web.Response:
        body = await request.json()
        nodes = await self._world.launch_nodes(body["instances"], instant=bool(body.get("instant")))
        return web.json_response({"nodes": nodes}, status=201)

    async def _settled(self, _request: web.Request) -> web.Response:
        settled = self._world.cluster.settled()
        return web.json_response(
            {
                "settled": settled.settled,
                "pending": settled.pending,
                "nodes_not_ready": settled.nodes_not_ready,
                "unscheduled": [
                    {"name": pod["metadata"]["name"], "labels": pod["metadata"].get("labels") or {}}
                    for pod in self._world.cluster.unscheduled()
                ],
            }
        )

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(report.state(self._world))

    async def _catalogue(self, request: web.Request) -> web.Response:
        asked = [name for name in request.query.get("types", "").split(",") if name]
        known = self._world.aws.all_facts()
        zones = [zone for _, zone, _ in self._world.aws.seed.subnets]
        types = [
            {
                "instance_type": facts.name,
                "vcpus": facts.vcpus,
                "memory_mib": facts.memory_mib,
                "architectures": list(facts.architectures),
                "allocatable_cpu_millicores": allocatable_millicores(facts),
                "allocatable_memory_bytes": allocatable_bytes(facts),
                "max_pods": facts.max_pods,
                "gpus": facts.gpus,
                "on_demand_usd_per_hour": {
                    zone: self._world.aws.price(facts.name, zone, "on-demand")
                    for zone in zones
                    if (facts.name, zone) in self._world.aws.market.offered
                },
            }
            for facts in (known[name] for name in (asked or sorted(known)) if name in known)
            if facts.architectures
        ]
        return web.json_response({"types": types, "zones": zones})

    async def _interrupt(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        return web.json_response(await self._world.interrupt(body.get("instance_id")))

    async def _faults(self, request: web.Request) -> web.Response:
        body = dict(await request.json())
        self._world.aws.fault(body.pop("kind"), **body)
        return web.json_response({})

    async def _mark(self, request: web.Request) -> web.Response:
        name = str((await request.json())["name"])
        self._marks[name] = {"at": datetime.now(UTC).isoformat(), **report.state(self._world)}
        return web.json_response(self._marks[name])

    async def _report(self, _request: web.Request) -> web.Response:
        return web.json_response(report.report(self._world, self._marks))
