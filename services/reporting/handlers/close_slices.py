"""Close the slices of time that are over, and book what was saved in them."""

from datetime import datetime, timedelta

import structlog

from services.reporting import metrics
from services.reporting.domain import ledger, savings
from services.reporting.errors import BooksUnclosedError
from services.reporting.ports import Happening, RegisteredCluster, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.reporting import SavingsBooked
from shared.kernel.clock import Clock
from shared.kernel.errors import UnavailableError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

PRESENCE_KEPT = timedelta(days=1)
"""How long intervals outlive the slices they are in, for whoever asks what a slice was made from."""


async def close_slices(
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    length: timedelta,
    settle_for: timedelta,
    stale_after: timedelta,
) -> int:
    """Close what can be closed of every cluster; return how many slices were.

    What cannot be summed in one cluster keeps no other tenant's books open.

    Raises:
        UnavailableError: Postgres went away.
        BooksUnclosedError: some clusters failed; the others are closed.
    """
    async with unit_of_work() as uow:
        clusters = await uow.clusters.clusters()
    closed, failed = 0, list[str]()
    for cluster in clusters:
        try:
            while True:
                async with unit_of_work() as uow:
                    await uow.act_for(cluster.organization_id)
                    if not await _close_next(
                        cluster, uow=uow, clock=clock, ids=ids, length=length, settle_for=settle_for
                    ):
                        break
                closed += 1
            async with unit_of_work() as uow:
                await uow.act_for(cluster.organization_id)
                await _tell_gap(cluster, uow=uow, clock=clock, ids=ids, stale_after=stale_after)
        except UnavailableError:
            raise
        except Exception as error:
            log.error("slice_not_closed", cluster_id=cluster.cluster_id, exc_info=error)
            failed.append(cluster.cluster_id)
    if failed:
        raise BooksUnclosedError(f"slices of {len(failed)} clusters cannot be closed, {failed[0]} is one")
    return closed


async def _close_next(
    cluster: RegisteredCluster,
    *,
    uow: UnitOfWork,
    clock: Clock,
    ids: Ids,
    length: timedelta,
    settle_for: timedelta,
) -> bool:
    """Close a cluster's next slice; False when it is not over yet, or our copy ends before it."""
    as_of = await uow.clusters.as_of(cluster.cluster_id)
    start = await uow.ledger.lock(cluster.cluster_id)
    if as_of is None or start is None:
        return False
    whole = ledger.slice_end(start, length=length)
    baselines = await uow.ledger.baselines(cluster.cluster_id, until=whole)
    end = ledger.slice_end(start, length=length, baselines=[b.since for b in baselines])
    if as_of < end or clock.now() < end + settle_for:
        return False
    nodes = await uow.presence.nodes_between(cluster.cluster_id, cluster.region, start, end)
    pods = await uow.presence.pods_between(cluster.cluster_id, start, end)
    prices = await uow.prices.between({node.pool for node in nodes if node.pool is not None}, start, end)
    closed = savings.close(
        start=start,
        end=end,
        charges=ledger.charges(nodes, prices, start=start, end=end),
        pods=pods,
        baseline=savings.baseline_at(baselines, start),
    )
    await uow.ledger.put_slice(cluster.cluster_id, closed)
    await uow.presence.forget(cluster.cluster_id, before=start - PRESENCE_KEPT)
    if closed.booking is not None:
        event = SavingsBooked.make(
            scope=cluster.cluster_id,
            clock=clock,
            ids=ids,
            organization_id=cluster.organization_id,
            slice_start_at=closed.start,
            slice_end_at=closed.end,
            cost_usd=closed.cost_usd,
            baseline_cost_usd=closed.booking.baseline_cost_usd,
            savings_usd=closed.booking.savings_usd,
        )
        await uow.outbox.add(event)
    _note(cluster, closed)
    return True


def _note(cluster: RegisteredCluster, closed: savings.ClosedSlice) -> None:
    metrics.slices_closed.labels(str(closed.booking is not None).lower()).inc()
    unpriced = sum((c.end - c.start).total_seconds() for c in closed.unpriced)
    metrics.unpriced_node_seconds.inc(unpriced)
    assumed = sorted({c.node.name for c in closed.charges if c.node.is_capacity_assumed})
    log.info(
        "slice_closed",
        cluster_id=cluster.cluster_id,
        start_at=closed.start.isoformat(),
        end_at=closed.end.isoformat(),
        nodes=len({c.node.name for c in closed.charges}),
        cost_usd=str(closed.cost_usd),
        savings_usd=None if closed.booking is None else str(closed.booking.savings_usd),
        unpriced_seconds=unpriced,
        priced_as_on_demand=assumed,
    )


async def _tell_gap(
    cluster: RegisteredCluster, *, uow: UnitOfWork, clock: Clock, ids: Ids, stale_after: timedelta
) -> None:
    """Say once that a cluster's agent is silent: nothing is booked meanwhile."""
    as_of: datetime | None = await uow.clusters.as_of(cluster.cluster_id)
    if as_of is None:
        return
    age = clock.now() - as_of
    metrics.copy_age_seconds.labels(cluster.cluster_id).set(age.total_seconds())
    if age > stale_after and await uow.ledger.note_gap(cluster.cluster_id, as_of=as_of):
        text = (
            f"Nothing heard of cluster {cluster.name} since {as_of:%Y-%m-%d %H:%M} UTC; "
            "costs and savings are booked again once its agent is back."
        )
        await uow.activity.add(ids.new(), Happening(clock.now(), cluster.cluster_id, "cluster_silent", text))
        log.warning("cluster_silent", cluster_id=cluster.cluster_id, as_of=as_of.isoformat())
