"""Answer what happened lately."""

from services.reporting.ports import UnitOfWorkFactory
from shared.contracts.v1.reporting import Activity, ActivityEntry, GetActivity

MOST = 500
"""Lines in one answer at most."""


async def show_activity(request: GetActivity, *, unit_of_work: UnitOfWorkFactory) -> Activity:
    """Give the newest lines of an organization's feed."""
    async with unit_of_work() as uow:
        await uow.act_for(request.scope)
        found = await uow.activity.newest(
            cluster_id=request.cluster_id, limit=max(0, min(request.limit, MOST))
        )
    return Activity(
        entries=tuple(
            ActivityEntry(at=one.at, cluster_id=one.cluster_id, kind=one.kind, text=one.text) for one in found
        )
    )
