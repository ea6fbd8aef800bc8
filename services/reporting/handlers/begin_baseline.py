"""Put a plan's baseline in force when its execution starts."""

from services.reporting.domain.savings import Baseline
from services.reporting.ports import UnitOfWork
from shared.contracts.v1.executor import ExecutionStarted


async def begin_baseline(message: ExecutionStarted, *, uow: UnitOfWork) -> None:
    """Compare with this rate from now on; a dry run changes nothing, so it is no new beginning.

    Slices that are closed stay closed: a message that comes late counts from the next slice on.
    """
    rate = message.baseline_rate
    if rate is None or message.dry_run:
        return
    await uow.act_for(message.organization_id)
    closed_until = await uow.ledger.closed_until(message.scope)
    since = message.occurred_at if closed_until is None else max(message.occurred_at, closed_until)
    await uow.ledger.put_baseline(
        message.scope, message.execution_id, Baseline(since, rate.usd_per_vcpu_hour, rate.usd_per_gib_hour)
    )
