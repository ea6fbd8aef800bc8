"""docs/api.md names every route, and no curl in it leads nowhere."""

import re
from pathlib import Path

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
from services.gateway.entrypoints.http.guard import PREFIX

DOCUMENT = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
MODULES = (accounts, auth, clusters, executions, plans, policies, regions, reports, safe_mode)
ROUTES = [route for module in MODULES for route in module.routes() if isinstance(route, web.RouteDef)]


def test_every_route_is_named() -> None:
    for route in ROUTES:
        for part in route.path.removeprefix(PREFIX).split("/"):
            if part and not part.startswith("{"):
                assert re.search(rf"/{part}\b", DOCUMENT), f"{route.method} {route.path}"


def test_every_curl_reaches_a_route() -> None:
    known = {(route.method, re.sub(r"\{\w+\}", "ID", route.path.removeprefix(PREFIX))) for route in ROUTES}
    calls = re.findall(r"curl -s\w*(?: -X (\w+))? \"?\$API([^\s\"?]+)([^\n]*)", DOCUMENT)
    assert len(calls) > 10
    for method, path, rest in calls:
        named = re.sub(r"\$[A-Z]+|[0-9a-f]{8}-[0-9a-f-]{27}|us-east-1", "ID", path)
        assert (method or ("POST" if " -d " in rest else "GET"), named) in known, path
