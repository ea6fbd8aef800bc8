"""The activity feed and the audit log in reporting's schema."""

import json
from collections.abc import Sequence
from uuid import UUID

from services.reporting.domain import audit_chain
from services.reporting.domain.audit_chain import Deed, Link
from services.reporting.ports import Happening
from shared.runtime.postgres import Connection

OWN = "current_setting('app.organization_id')"


class PostgresActivityRepository:
    """See ports.ActivityRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, message_id: UUID, happening: Happening) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into activity (organization_id, message_id, at, cluster_id, kind, text)"
            f" values ({OWN}, $1, $2, $3, $4, $5) on conflict do nothing",
            message_id,
            happening.at,
            happening.cluster_id,
            happening.kind,
            happening.text,
        )

    async def newest(self, *, cluster_id: str | None, limit: int) -> Sequence[Happening]:
        """See the port."""
        rows = await self._connection.fetch(
            f"select * from activity where organization_id = {OWN} and ($1::text is null or cluster_id = $1)"
            " order by at desc, message_id desc limit $2",
            cluster_id,
            limit,
        )
        return [Happening(row["at"], row["cluster_id"], row["kind"], row["text"]) for row in rows]


class PostgresAuditRepository:
    """See ports.AuditRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, deed: Deed) -> Link:
        """See the port."""
        await self._connection.execute(
            f"insert into audit_heads values ({OWN}, 0, $1) on conflict do nothing",
            audit_chain.BEFORE_THE_FIRST,
        )
        head = await self._connection.fetchrow(
            f"select * from audit_heads where organization_id = {OWN} for update"
        )
        assert head is not None
        link = audit_chain.append(
            deed,
            organization_id=head["organization_id"],
            position=head["position"] + 1,
            previous_sha256=head["sha256"],
        )
        await self._connection.execute(
            "insert into audit_log values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9)",
            link.organization_id,
            link.position,
            deed.at,
            deed.actor,
            deed.action,
            deed.target,
            json.dumps(dict(deed.detail)),
            link.previous_sha256,
            link.sha256,
        )
        await self._connection.execute(
            f"update audit_heads set position = $1, sha256 = $2 where organization_id = {OWN}",
            link.position,
            link.sha256,
        )
        return link

    async def links(self, *, after: int, limit: int) -> Sequence[Link]:
        """See the port."""
        rows = await self._connection.fetch(
            f"select * from audit_log where organization_id = {OWN} and position > $1 order by position limit $2",
            after,
            limit,
        )
        return [
            Link(
                row["organization_id"],
                row["position"],
                Deed(row["at"], row["actor"], row["action"], row["target"], json.loads(row["detail"])),
                row["previous_sha256"],
                row["sha256"],
            )
            for row in rows
        ]

    async def hash_at(self, position: int) -> str | None:
        """See the port."""
        if position == 0:
            return audit_chain.BEFORE_THE_FIRST
        found: str | None = await self._connection.fetchval(
            f"select sha256 from audit_log where organization_id = {OWN} and position = $1", position
        )
        return found

    async def head(self) -> tuple[int, str]:
        """See the port."""
        row = await self._connection.fetchrow(f"select * from audit_heads where organization_id = {OWN}")
        return (0, audit_chain.BEFORE_THE_FIRST) if row is None else (row["position"], row["sha256"])
