"""Answer who did what, and whether the log is as it was written."""

from services.reporting.domain import audit_chain
from services.reporting.ports import UnitOfWorkFactory
from shared.contracts.v1.reporting import Audit, AuditEntry, GetAudit

MOST = 1000
"""Entries in one answer at most."""


async def show_audit(request: GetAudit, *, unit_of_work: UnitOfWorkFactory) -> Audit:
    """Give entries behind a position, and recompute their hashes.

    The last page is compared with the head that is kept beside the log, so that a shortened log is noticed too.
    """
    after, limit = max(request.after, 0), max(1, min(request.limit, MOST))
    async with unit_of_work() as uow:
        await uow.act_for(request.scope)
        # The head first: an entry that is added between the two reads lies behind it, and does no harm.
        head_position, head_sha256 = await uow.audit.head()
        previous = await uow.audit.hash_at(after)
        links = await uow.audit.links(after=after, limit=limit)
    is_intact = after > head_position if previous is None else True
    if previous is not None:
        is_intact = audit_chain.is_intact(links, after=after, previous_sha256=previous)
        reached = {after: previous, **{link.position: link.sha256 for link in links}}
        if head_position <= after + limit and after <= head_position:
            is_intact = is_intact and reached.get(head_position) == head_sha256
    return Audit(
        entries=tuple(
            AuditEntry(
                position=link.position,
                at=link.deed.at,
                actor=link.deed.actor,
                action=link.deed.action,
                target=link.deed.target,
                detail=dict(link.deed.detail),
                previous_sha256=link.previous_sha256,
                sha256=link.sha256,
            )
            for link in links
        ),
        is_chain_intact=is_intact,
    )
