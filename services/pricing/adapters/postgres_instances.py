"""What is over of instances, in pricing's own schema."""

from collections.abc import Mapping
from datetime import datetime

from shared.runtime.postgres import Connection


class PostgresInstanceRepository:
    """See ports.InstanceRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def note_ends(self, ended_at: Mapping[str, datetime]) -> None:
        """See the port; in the instances' order, so that two who note the same ones do not wait for each other."""
        await self._connection.execute(
            """
            with ends as (
                select i.instance_id, t.at from instance_pools i
                join unnest($1::text[], $2::timestamptz[]) as t (instance_id, at) using (instance_id)
                where i.ended_at is null or i.ended_at > t.at
                order by i.instance_id for update of i
            )
            update instance_pools i set ended_at = ends.at from ends where i.instance_id = ends.instance_id
            """,
            list(ended_at.keys()),
            list(ended_at.values()),
        )

    async def forget_instances(self, *, ended_before: datetime, seen_before: datetime, most: int) -> int:
        """See the port; rows that somebody else has in hand are left for the next time."""
        answer = await self._connection.execute(
            """
            with old as (
                select instance_id from instance_pools where ended_at < $1 or seen_at < $2
                limit $3 for update skip locked
            )
            delete from instance_pools i using old where i.instance_id = old.instance_id
            """,
            ended_before,
            seen_before,
            most,
        )
        return int(answer.rsplit(" ", 1)[1])

    async def forget_notices(self, *, before: datetime, most: int) -> int:
        """See the port; rows that somebody else has in hand are left for the next time."""
        answer = await self._connection.execute(
            """
            with old as (
                select event_id from instance_notices where received_at < $1 limit $2 for update skip locked
            )
            delete from instance_notices n using old where n.event_id = old.event_id
            """,
            before,
            most,
        )
        return int(answer.rsplit(" ", 1)[1])
