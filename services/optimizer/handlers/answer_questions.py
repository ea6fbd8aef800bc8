"""What the gateway asks on behalf of people."""

from decimal import Decimal

from services.optimizer.errors import MarketUnavailableError
from services.optimizer.ports import ClusterView, Quotes, UnitOfWorkFactory
from shared.contracts.v1.optimizer import (
    ClusterSummary,
    GetClusterSummary,
    GetPlan,
    ListPlans,
    PlanReply,
    Plans,
    PlanSummary,
)
from shared.contracts.v1.plan import Plan
from shared.kernel.pools import CapacityType
from shared.kernel.workload import Node, PodPhase


async def list_plans(request: ListPlans, *, unit_of_work: UnitOfWorkFactory) -> Plans:
    """Return the newest plans, and why the last planning proposed nothing."""
    async with unit_of_work() as uow:
        plans = await uow.plans.plans(request.scope, limit=request.limit)
        skip = await uow.plans.skip(request.scope)
    return Plans(
        plans=tuple(map(_summary, plans)),
        last_skip_reason=skip.reason if skip else None,
        last_skip_at=skip.at if skip else None,
    )


async def get_plan(request: GetPlan, *, unit_of_work: UnitOfWorkFactory) -> PlanReply:
    """Return one whole plan of this cluster."""
    async with unit_of_work() as uow:
        stored = await uow.plans.plan(request.scope, request.plan_id)
    return PlanReply(plan=stored.plan, plan_sha256=stored.sha256) if stored else PlanReply(plan=None)


async def get_cluster_summary(
    request: GetClusterSummary, *, unit_of_work: UnitOfWorkFactory, quotes: Quotes
) -> ClusterSummary:
    """Count what the agent last showed; without prices the cost is null, never a part of it."""
    async with unit_of_work() as uow:
        view = await uow.clusters.view(request.scope)
        cluster = await uow.clusters.cluster(request.scope)
    if view is None:
        return ClusterSummary(as_of=None)
    pods = [pod for pod in view.objects.pods if not pod.is_finished]
    return ClusterSummary(
        as_of=view.as_of,
        nodes=len(view.objects.nodes),
        nodes_ready=sum(node.is_ready for node in view.objects.nodes),
        pods=len(pods),
        pods_pending=sum(pod.phase is PodPhase.PENDING for pod in pods),
        cost_usd_per_hour=await _cost(view, cluster.region if cluster else None, quotes),
        requested_cpu_millicores=sum(pod.requests.cpu_millicores for pod in pods),
        requested_memory_bytes=sum(pod.requests.memory_bytes for pod in pods),
    )


async def _cost(view: ClusterView, region: str | None, quotes: Quotes) -> Decimal | None:
    if region is None:
        return None
    try:
        answer = await quotes.quotes(region)
    except MarketUnavailableError:
        return None
    price_by_pool = {
        (q.pool.instance_type, q.pool.zone_id, q.pool.capacity_type): q.usd_per_hour for q in answer.quotes
    }
    prices = [price_by_pool.get(_pool_of(node)) for node in view.objects.nodes]
    known = [price for price in prices if price is not None]
    return sum(known, Decimal(0)) if len(known) == len(prices) else None


def _pool_of(node: Node) -> tuple[str, str, CapacityType]:
    """Give the pool a node is in; without a label it was bought on demand, as far as anybody knows."""
    return node.instance_type or "", node.zone_id or "", node.capacity_type or CapacityType.ON_DEMAND


def _summary(plan: Plan) -> PlanSummary:
    return PlanSummary(
        id=plan.id,
        created_at=plan.created_at,
        trigger=plan.trigger,
        nodes_before=plan.nodes_before,
        nodes_after=plan.nodes_after,
        cost_before_usd_per_hour=plan.cost_before_usd_per_hour,
        cost_after_usd_per_hour=plan.cost_after_usd_per_hour,
        moves=len(plan.moves),
        unplaced=len(plan.unplaced),
    )
