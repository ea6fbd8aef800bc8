"""Answer what was spent and saved."""

from decimal import Decimal

from services.reporting.ports import UnitOfWorkFactory
from shared.contracts.v1.reporting import ClusterSavings, GetSavings, Savings


async def show_savings(request: GetSavings, *, unit_of_work: UnitOfWorkFactory) -> Savings:
    """Sum an organization's closed slices; what was spent before the first baseline stands apart."""
    async with unit_of_work() as uow:
        await uow.act_for(request.scope)
        sums = await uow.ledger.sums(cluster_id=request.cluster_id, since=request.since, until=request.until)
    return Savings(
        clusters=tuple(
            ClusterSavings(
                cluster_id=one.cluster_id,
                cost_usd=one.cost_usd,
                cost_without_baseline_usd=one.cost_without_baseline_usd,
                baseline_cost_usd=one.baseline_cost_usd,
                savings_usd=one.savings_usd,
                node_hours=float(one.node_hours),
                slices=one.slices,
                unpriced_node_hours=float(one.unpriced_node_hours),
                first_at=one.first_at,
                last_at=one.last_at,
            )
            for one in sums
        ),
        total_savings_usd=sum((one.savings_usd for one in sums), Decimal(0)),
        total_cost_usd=sum((one.cost_usd for one in sums), Decimal(0)),
    )
