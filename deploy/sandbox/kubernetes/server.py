"""The API over HTTP: authentication, verbs, paging and watches; what a write means is decided in `writes`."""

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import yaml
from aiohttp import web

from deploy.sandbox.kubernetes import discovery, listing, metrics, paths, selectors
from deploy.sandbox.kubernetes.errors import ApiError, bad_request, no_such_path
from deploy.sandbox.kubernetes.index import Index
from deploy.sandbox.kubernetes.journal import Journal, WriteCall
from deploy.sandbox.kubernetes.kinds import POD, Object
from deploy.sandbox.kubernetes.paths import Target
from deploy.sandbox.kubernetes.store import Store
from deploy.sandbox.kubernetes.timing import Timeline
from deploy.sandbox.kubernetes.writes import Writes

_encode = msgspec.json.Encoder().encode


class ApiServer:
    """Serves one store until it is stopped."""

    def __init__(
        self,
        *,
        store: Store,
        index: Index,
        writes: Writes,
        journal: Journal,
        timeline: Timeline,
        token: str,
        bookmark_seconds: float,
    ) -> None:
        self._store = store
        self._index = index
        self._writes = writes
        self._journal = journal
        self._timeline = timeline
        self._authorization = f"Bearer {token}"
        self._bookmark_seconds = bookmark_seconds
        self._runner: web.AppRunner | None = None

    async def start(self, *, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen on 127.0.0.1 and return the port."""
        app = web.Application(client_max_size=32 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A watch that nobody reads any more must end with its connection, not at its next event.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """End the watches and close the port."""
        self._store.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except ApiError as error:
            headers = {}
            if error.retry_after_seconds is not None:
                headers["Retry-After"] = str(error.retry_after_seconds)
            response = self._json(error.status, error.code, headers)
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            agent = request.headers.get("User-Agent", "")
            self._journal.writes.append(
                WriteCall(self._timeline.now(), request.method, request.path, agent, response.status)
            )
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in {"/healthz", "/livez", "/readyz"}:
            return web.Response(text="ok")
        if request.headers.get("Authorization") != self._authorization:
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")
        if request.method == "GET":
            if (found := discovery.document(request.path)) is not None:
                return self._json(found)
            if request.path.startswith("/apis/metrics.k8s.io/v1beta1/"):
                return self._json(
                    metrics.document(
                        request.path, store=self._store, index=self._index, timeline=self._timeline
                    )
                )
        target = paths.parse(request.path)
        if request.method == "GET":
            return await self._read(request, target)
        return await self._write(request, target)

    async def _read(self, request: web.Request, target: Target) -> web.StreamResponse:
        query = request.query
        if target.name:
            obj = self._store.get(target.kind, target.namespace, target.name)
            if target.subresource == "scale":
                return self._json(self._writes.scale(target.kind, obj))
            if target.subresource not in {"", "status"}:
                raise no_such_path()
            return self._json(obj)
        wanted = selectors.query(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if query.get("watch", "").lower() in {"true", "1"}:
            return await listing.watch(
                request, target, wanted, store=self._store, bookmark_seconds=self._bookmark_seconds
            )
        return self._json(
            listing.page(
                target, wanted, store=self._store, limit=query.get("limit"), token=query.get("continue")
            )
        )

    async def _write(self, request: web.Request, target: Target) -> web.Response:
        method, sub = request.method, target.subresource
        dry_run = request.query.get("dryRun") == "All"
        body = await self._body(request)
        if method == "POST" and target.kind is POD and sub in {"eviction", "binding"}:
            if sub == "eviction":
                return self._json(self._writes.evict(target, _object(body), dry_run=dry_run), 201)
            return self._json(self._writes.bind(target, _object(body)), 201)
        if method == "POST" and not target.name:
            return self._json(self._writes.create(target, _object(body), dry_run=dry_run), 201)
        if sub not in {"", "status", "scale"}:
            raise no_such_path()
        if method == "DELETE" and not sub:
            options = {**_delete_options(request.query), **(_object(body) if body is not None else {})}
            dry_run = dry_run or "All" in (options.get("dryRun") or ())
            if target.name:
                return self._json(self._writes.delete(target, options, dry_run=dry_run))
            wanted = selectors.query(
                request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
            )
            return self._json(self._writes.delete_collection(target, wanted, options, dry_run=dry_run))
        if method == "PUT" and target.name:
            return self._json(self._writes.update(target, _object(body), dry_run=dry_run))
        if method == "PATCH" and target.name:
            return self._json(self._writes.patch(target, body, request.content_type, dry_run=dry_run))
        raise ApiError(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )

    @staticmethod
    async def _body(request: web.Request) -> Any:
        raw = await request.read()
        if not raw:
            return None
        if request.content_type == "application/vnd.kubernetes.protobuf":
            msg = "this server reads JSON and YAML, not protobuf"
            raise ApiError(415, "UnsupportedMediaType", msg)
        try:
            if request.content_type.endswith("yaml"):
                return yaml.safe_load(raw)
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, yaml.YAMLError) as error:
            msg = f"the object provided is unrecognized: {error}"
            raise bad_request(msg) from error

    @staticmethod
    def _json(body: Object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(
            body=_encode(body), status=status, content_type="application/json", headers=headers or {}
        )


def _object(body: Any) -> Object:
    if not isinstance(body, dict):
        msg = "the request's body has to be an object"
        raise bad_request(msg)
    return body


def _delete_options(query: Mapping[str, str]) -> Object:
    options: Object = {}
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    return options
