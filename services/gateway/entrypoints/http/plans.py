"""/clusters/{id}/optimize and /plans."""

from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from services.gateway.domain.access import Caller, Permission
from services.gateway.domain.approvals import ProposedPlan
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import body_of, id_in_path, key_in_path, number_in_query
from services.gateway.handlers.approve_plan import approve_plan
from services.gateway.handlers.request_plan import request_plan


class OptimizeBody(BaseModel):
    """POST /clusters/{id}/optimize: nothing to say yet."""


class ApproveBody(BaseModel):
    """POST /clusters/{id}/plans/{plan_id}/approve."""

    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$", examples=["64 hex digits"])
    """Of the plan that was read; without it the newest word about this id is approved."""


async def post_optimize(request: web.Request, caller: Caller) -> web.Response:
    """Plan now."""
    await body_of(request, OptimizeBody, is_optional=True)
    deps = dependencies_of(request)
    correlation_id = await request_plan(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response({"correlation_id": str(correlation_id)}, status=202)


async def get_plans(request: web.Request, caller: Caller) -> web.Response:
    """List plans, newest first, with what was decided about each."""
    limit = number_in_query(request, "limit", default=20, least=1, most=100)
    cluster_id = key_in_path(request, "cluster_id")
    answer, decided = await dependencies_of(request).inquiry.plans(caller, cluster_id, limit=limit)
    now = dependencies_of(request).clock.now()
    by_id = {plan.id: plan for plan in decided}
    content = answer.model_dump(mode="json")
    content["plans"] = [
        {**line, **_decision(by_id.get(plan.id), now=now)}
        for line, plan in zip(content["plans"], answer.plans, strict=True)
    ]
    return web.json_response(content)


async def get_plan(request: web.Request, caller: Caller) -> web.Response:
    """Show a whole plan."""
    answer, decided = await dependencies_of(request).inquiry.plan(
        caller, key_in_path(request, "cluster_id"), id_in_path(request, "plan_id")
    )
    now = dependencies_of(request).clock.now()
    return web.json_response({**answer.model_dump(mode="json"), **_decision(decided, now=now)})


async def post_approve(request: web.Request, caller: Caller) -> web.Response:
    """Let a plan be carried out."""
    body = await body_of(request, ApproveBody, is_optional=True)
    deps = dependencies_of(request)
    plan = await approve_plan(
        caller=caller,
        cluster_id=key_in_path(request, "cluster_id"),
        plan_id=id_in_path(request, "plan_id"),
        sha256=body.sha256,
        unit_of_work=deps.unit_of_work,
        clock=deps.clock,
        ids=deps.ids,
    )
    return web.json_response(
        {"plan_id": str(plan.id), "sha256": plan.sha256, **_decision(plan, now=deps.clock.now())}
    )


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    path = "/clusters/{cluster_id}"
    return [
        guarded("POST", f"{path}/optimize", post_optimize, Permission.OPERATE),
        guarded("GET", f"{path}/plans", get_plans, Permission.READ),
        guarded("GET", f"{path}/plans/{{plan_id}}", get_plan, Permission.READ),
        guarded("POST", f"{path}/plans/{{plan_id}}/approve", post_approve, Permission.OPERATE),
    ]


def _decision(plan: ProposedPlan | None, *, now: datetime) -> dict[str, Any]:
    if plan is None:
        # The optimizer has it, its event has not reached us yet: it cannot be approved this instant.
        return {"is_approvable": False, "approved_by": None, "approved_at": None, "decision_note": None}
    return {
        "is_approvable": plan.approved_at is None and now < plan.expires_at,
        "approved_by": plan.approved_by,
        "approved_at": plan.approved_at.isoformat() if plan.approved_at else None,
        "decision_note": plan.decision_note,
    }
