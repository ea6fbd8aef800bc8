"""Every route but a few asks for a log-in, and for a role that may."""

import pytest
from aiohttp import web

from services.gateway.adapters.access_tokens import JwtAccessTokens
from services.gateway.domain.access import Role
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
from tests.integration.gateway.stage import SETTINGS, Stage

pytestmark = pytest.mark.postgres

MODULES = (accounts, auth, clusters, executions, plans, policies, regions, reports, safe_mode)
ROUTES = [route for module in MODULES for route in module.routes()]
OPEN = {"/api/v1/auth/sign-up", "/api/v1/auth/log-in", "/api/v1/auth/refresh"}
FILLED = dict.fromkeys(("cluster_id", "plan_id", "execution_id"), "01900000-0000-7000-8000-000000000001")

VIEWERS_MAY = {("POST", "/api/v1/auth/log-out")}
EDITORS_MAY_NOT = {
    ("POST", "/api/v1/cloud-accounts"),
    ("POST", "/api/v1/cloud-accounts/{account_id}/test"),
    ("POST", "/api/v1/clusters"),
    ("POST", "/api/v1/clusters/{cluster_id}/install-tokens"),
    ("POST", "/api/v1/clusters/{cluster_id}/revoke-agent"),
    ("GET", "/api/v1/audit"),
}


def path_of(route: web.RouteDef) -> str:
    return route.path.removeprefix("/api/v1").format(account_id="x", region="us-east-1", **FILLED)


async def test_without_a_token_nothing_is_answered(stage: Stage) -> None:
    for route in ROUTES:
        if route.path not in OPEN:
            status, problem = await stage.call(route.method, path_of(route))
            assert (status, problem["title"]) == (401, "Unauthorized"), route.path


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_may_exactly_what_it_may(stage: Stage, role: Role) -> None:
    granted = await stage.sign_up()
    issued = JwtAccessTokens(secret="x" * 32, lifetime=SETTINGS.access_token_lifetime, clock=stage.clock)
    token = issued.issue(
        user_id="u", organization_id=granted["organization"]["id"], role=role, session_id="s"
    )
    for route in ROUTES:
        if route.path in OPEN:
            continue
        status, _ = await stage.call(route.method, path_of(route), token=token)
        key = (route.method, route.path)
        is_refused = (key in EDITORS_MAY_NOT and role in (Role.EDITOR, Role.VIEWER)) or (
            route.method != "GET" and role is Role.VIEWER and key not in VIEWERS_MAY
        )
        assert (status == 403) is is_refused, (key, status)
