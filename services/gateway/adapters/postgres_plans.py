"""Proposed plans in the gateway's schema."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.gateway.domain.approvals import ProposedPlan
from shared.runtime.postgres import Connection


class PostgresPlanRepository:
    """See ports.PlanRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, plan: ProposedPlan) -> None:
        """See the port."""
        await self._connection.execute(
            'insert into proposed_plans (plan_id, organization_id, cluster_id, sha256, "trigger", move_kinds,'
            " created_at, expires_at, decision_note, approved_by, approved_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing",
            plan.id,
            plan.organization_id,
            plan.cluster_id,
            plan.sha256,
            plan.trigger,
            list(plan.move_kinds),
            plan.created_at,
            plan.expires_at,
            plan.decision_note,
            plan.approved_by,
            plan.approved_at,
        )

    async def locked(self, cluster_id: str, plan_id: UUID) -> ProposedPlan | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from proposed_plans where cluster_id = $1 and plan_id = $2 for update",
            cluster_id,
            plan_id,
        )
        return None if row is None else _plan(row)

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[ProposedPlan]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from proposed_plans where cluster_id = $1 order by created_at desc, plan_id desc limit $2",
            cluster_id,
            limit,
        )
        return [_plan(row) for row in rows]

    async def note_approval(self, plan_id: UUID, *, by: str, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update proposed_plans set approved_by = $2, approved_at = $3"
            " where plan_id = $1 and approved_at is null",
            plan_id,
            by,
            now,
        )


def _plan(row: asyncpg.Record) -> ProposedPlan:
    return ProposedPlan(
        id=row["plan_id"],
        organization_id=row["organization_id"],
        cluster_id=row["cluster_id"],
        sha256=row["sha256"],
        trigger=row["trigger"],
        move_kinds=tuple(row["move_kinds"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        decision_note=row["decision_note"],
        approved_by=row["approved_by"],
        approved_at=row["approved_at"],
    )
