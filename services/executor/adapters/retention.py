"""Forgetting: what nobody asks for any more would otherwise grow for as long as the service lives."""

from datetime import timedelta

from shared.kernel.clock import Clock
from shared.runtime.postgres import Database

UNAPPROVED_KEPT = timedelta(days=7)
"""How long a plan that nobody approved is kept after it expired: the largest rows, a new one every few minutes."""
LEASES_KEPT = timedelta(days=1)

HISTORY = (
    "delete from executions where status <> 'running' and finished_at < $1",  # with their steps and attempts
    "delete from approved_plans where expires_at < $1",
    "delete from notices where received_at < $1",
    "delete from safe_mode_audit where at < $1",
)
INSTANCES = """
delete from node_instances n
where not exists (
        select from cluster_objects o
        where o.cluster_id = n.cluster_id and o.kind = 'node' and o.key = n.node_name
    )
    -- What waits for its turn may hold the node.
    and not exists (select from early_deltas e where e.cluster_id = n.cluster_id)
    and not exists (select from snapshot_chunks s where s.cluster_id = n.cluster_id)
"""
LEASES = """
delete from leases
where name like 'execution:%' and expires_at < now() - $1::interval
    and name not in (select 'execution:' || id from executions where status = 'running')
"""


async def forget_old(database: Database, *, clock: Clock, kept: timedelta) -> None:
    """Delete finished work older than `kept`, expired plans and flags, and traces of nodes that are gone."""
    now = clock.now()
    async with database.transaction() as transaction:
        connection = transaction.connection
        for statement in HISTORY:
            await connection.execute(statement, now - kept)
        await connection.execute(
            "delete from approved_plans where status = 'proposed' and expires_at < $1", now - UNAPPROVED_KEPT
        )
        await connection.execute("delete from pool_flags where expires_at < $1", now)
        await connection.execute(INSTANCES)
        await connection.execute(LEASES, LEASES_KEPT)
