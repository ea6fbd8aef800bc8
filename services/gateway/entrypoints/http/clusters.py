"""/clusters: connect, look, let an agent in or shut it out."""

import shlex
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from services.gateway.domain.access import Caller, Permission
from services.gateway.domain.tokens import Token
from services.gateway.entrypoints.http.dependencies import Dependencies, dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.policies import checked_policy
from services.gateway.entrypoints.http.requests import body_of, key_in_path
from services.gateway.handlers.connect_cluster import connect_cluster
from services.gateway.handlers.issue_install_token import issue_install_token
from services.gateway.handlers.revoke_agent import revoke_agent
from services.gateway.ports import Cluster
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.kernel.errors import UnavailableError


class ClusterBody(BaseModel):
    """POST /clusters."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", examples=["production-1"])
    """As EKS knows it."""
    cloud_account_id: str = Field(max_length=64)
    node_template: NodeTemplate
    policy: Policy = Policy()


async def post_cluster(request: web.Request, caller: Caller) -> web.Response:
    """Connect a cluster."""
    body = await body_of(request, ClusterBody)
    deps = dependencies_of(request)
    connected = await connect_cluster(
        caller=caller,
        name=body.name,
        cloud_account_id=body.cloud_account_id,
        node_template=body.node_template,
        policy=checked_policy(body.policy, field="policy"),
        unit_of_work=deps.unit_of_work,
        secret_source=deps.secret_source,
        clock=deps.clock,
        ids=deps.ids,
    )
    content = {"cluster": _cluster(connected.cluster), **_installation(connected.install_token, deps)}
    return web.json_response(content, status=201, headers={"Cache-Control": "no-store"})


async def get_clusters(request: web.Request, caller: Caller) -> web.Response:
    """List clusters."""
    found = await dependencies_of(request).inquiry.clusters(caller)
    return web.json_response({"clusters": [_cluster(cluster) for cluster in found]})


async def get_cluster(request: web.Request, caller: Caller) -> web.Response:
    """Show a cluster; what the optimizer would add is null while it does not answer."""
    deps, cluster_id = dependencies_of(request), key_in_path(request, "cluster_id")
    cluster = await deps.inquiry.cluster(caller, cluster_id)
    try:
        summary = (await deps.inquiry.summary(caller, cluster_id)).model_dump(mode="json")
    except UnavailableError:
        summary = None
    is_on = await deps.safe_mode.is_on(organization_id=caller.organization_id, cluster_id=cluster_id)
    return web.json_response({**_cluster(cluster), "summary": summary, "safe_mode": is_on})


async def post_install_token(request: web.Request, caller: Caller) -> web.Response:
    """Issue a new install token; the ones before are void."""
    deps = dependencies_of(request)
    token = await issue_install_token(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        unit_of_work=deps.unit_of_work,
        secret_source=deps.secret_source,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response(_installation(token, deps), status=201, headers={"Cache-Control": "no-store"})


async def post_revoke(request: web.Request, caller: Caller) -> web.Response:
    """Shut the agent out."""
    deps = dependencies_of(request)
    await revoke_agent(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.Response(status=204)


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [
        guarded("POST", "/clusters", post_cluster, Permission.CONNECT),
        guarded("GET", "/clusters", get_clusters, Permission.READ),
        guarded("GET", "/clusters/{cluster_id}", get_cluster, Permission.READ),
        guarded("POST", "/clusters/{cluster_id}/install-tokens", post_install_token, Permission.CONNECT),
        guarded("POST", "/clusters/{cluster_id}/revoke-agent", post_revoke, Permission.CONNECT),
    ]


def _installation(token: Token, deps: Dependencies) -> dict[str, Any]:
    environment = {
        "AGENT_NATS_URL": deps.settings.agent_nats_url,
        "AGENT_CLUSTER_ID": token.subject_id,
        "AGENT_INSTALL_TOKEN": str(token),
    }
    assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    return {
        "install_token": str(token),
        "agent_env": environment,
        "install_command": f"{assignments} spotopt serve agent",
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    seen = cluster.last_heartbeat_at
    return {
        "id": cluster.id,
        "name": cluster.name,
        "cloud_account_id": cluster.account_id,
        "created_at": cluster.created_at.isoformat(),
        "revision": cluster.configuration.revision,
        "policy": cluster.configuration.policy.model_dump(mode="json"),
        "node_template": cluster.configuration.node_template.model_dump(mode="json"),
        "last_heartbeat_at": seen.isoformat() if seen else None,
        "agent_version": cluster.agent_version,
        "kubernetes_version": cluster.kubernetes_version,
    }
