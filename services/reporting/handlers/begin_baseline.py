"""Put a plan's baseline in force when its execution starts."""

from services.reporting.domain.savings import Baseline
from services.reporting.ports import UnitOfWork
from shared.contracts.v1.executor import ExecutionStarted
from shared.contracts.v1.plan import PlanTrigger


async def begin_baseline(message: ExecutionStarted, *, uow: UnitOfWork) -> None:
    """Compare with this rate from now on; a dry run changes nothing, so it is no new beginning.

    Nor are nodes for pending pods: what the cluster cost before them is what an earlier plan had made of it, so to
    begin anew would end that plan's savings each time a workload grows.

    Slices that are closed stay closed: a message that comes late counts from the next slice on, unless a baseline
    that began after it is known already. So it keeps its own instant: moved behind the last closed slice it would
    overtake that one.
    """
    rate = message.baseline_rate
    if rate is None or message.dry_run or message.trigger == PlanTrigger.PENDING_PODS:
        return
    await uow.act_for(message.organization_id)
    baseline = Baseline(message.occurred_at, rate.usd_per_vcpu_hour, rate.usd_per_gib_hour)
    await uow.ledger.put_baseline(message.scope, message.execution_id, baseline)
