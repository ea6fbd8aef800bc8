"""Lists in pages of one consistent snapshot, and watches that say 410 when history no longer reaches back."""

import asyncio
import base64

import msgspec
from aiohttp import web

from deploy.sandbox.kubernetes.errors import bad_request, expired
from deploy.sandbox.kubernetes.kinds import Object
from deploy.sandbox.kubernetes.paths import Target
from deploy.sandbox.kubernetes.selectors import ObjectTest
from deploy.sandbox.kubernetes.store import Change, Store

_encode = msgspec.json.Encoder().encode


def page(
    target: Target, wanted: ObjectTest | None, *, store: Store, limit: str | None, token: str | None
) -> Object:
    """Return a list or its next page.

    Raises:
        ApiError: 410 when the snapshot behind a continue token is forgotten.
    """
    kind = target.kind
    if token:
        kept = store.snapshot(token)
        if kept is None:
            raise expired("The provided continue parameter is too old to display a consistent list result.")
        revision, objects = kept
    else:
        revision, objects = store.revision, store.select(kind, target.namespace)
        if wanted is not None:
            objects = [obj for obj in objects if wanted(obj)]
    metadata: Object = {"resourceVersion": str(revision)}
    size = int(limit) if limit and limit.isdigit() else 0
    if size and len(objects) > size:
        rest = objects[size:]
        name = base64.urlsafe_b64encode(f"{revision}/{store.new_suffix(12)}".encode()).decode()
        store.keep_snapshot(name, revision, rest)
        metadata["continue"] = name
        if wanted is None:
            metadata["remainingItemCount"] = len(rest)
        objects = objects[:size]
    return {
        "kind": f"{kind.kind}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": objects,
    }


async def watch(
    request: web.Request,
    target: Target,
    wanted: ObjectTest | None,
    *,
    store: Store,
    bookmark_seconds: float,
) -> web.StreamResponse:
    """Stream changes after a revision until the timeout, the client or the history ends it."""
    query = request.query
    bookmarks = query.get("allowWatchBookmarks", "").lower() in {"true", "1"}
    loop = asyncio.get_running_loop()
    end = loop.time() + float(query.get("timeoutSeconds") or 1800)
    started = query.get("resourceVersion") or "0"
    if not started.isdigit():
        msg = f"Invalid value: {started!r}: resourceVersion is no number"
        raise bad_request(msg)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    cursor = int(started)
    with_state = query.get("sendInitialEvents", "").lower() in {"true", "1"}
    if cursor == 0 or with_state:
        cursor = store.revision
        for obj in store.select(target.kind, target.namespace):
            if wanted is None or wanted(obj):
                await response.write(_line("ADDED", obj))
        if with_state and bookmarks:
            await response.write(_bookmark(target, cursor, initial_end=True))
    history = store.history(target.kind)
    while not store.closed:
        if cursor < history.floor:
            error = expired(f"too old resource version: {cursor} ({history.floor})")
            await response.write(_line("ERROR", error.status))
            break
        arrived, revision = history.arrived, store.revision
        changes = history.since(cursor)
        lines = [line for change in changes if (line := _event(change, target, wanted))]
        if lines:
            await response.write(b"".join(lines))
        cursor = max(cursor, revision)
        left = end - loop.time()
        if left <= 0:
            break
        if not arrived.is_set():
            wait = min(left, bookmark_seconds) if bookmarks else left
            try:
                async with asyncio.timeout(wait):
                    await arrived.wait()
            except TimeoutError:
                if bookmarks:
                    await response.write(_bookmark(target, cursor))
    await response.write_eof()
    return response


def _event(change: Change, target: Target, wanted: ObjectTest | None) -> bytes | None:
    if target.namespace and change.object["metadata"].get("namespace") != target.namespace:
        return None
    if wanted is None:
        return _line(change.type, change.object)
    matched = change.previous is not None and wanted(change.previous)
    matches = change.type != "DELETED" and wanted(change.object)
    if matches:
        return _line("MODIFIED" if matched else "ADDED", change.object)
    return _line("DELETED", change.object) if matched else None


def _line(type_: str, obj: Object) -> bytes:
    return _encode({"type": type_, "object": obj}) + b"\n"


def _bookmark(target: Target, revision: int, *, initial_end: bool = False) -> bytes:
    metadata: Object = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return _line(
        "BOOKMARK", {"kind": target.kind.kind, "apiVersion": target.kind.api_version, "metadata": metadata}
    )
