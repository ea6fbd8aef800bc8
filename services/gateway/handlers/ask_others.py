"""Questions that other services answer, asked only about the caller's own clusters."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from services.gateway.domain.access import Caller
from services.gateway.domain.approvals import ProposedPlan
from services.gateway.errors import NotFoundError
from services.gateway.ports import Cluster, OtherServices, UnitOfWorkFactory
from shared.contracts.base import Reply, Request
from shared.contracts.v1.executor import ExecutionReply, Executions, GetExecution, ListExecutions
from shared.contracts.v1.optimizer import (
    ClusterSummary,
    GetClusterSummary,
    GetPlan,
    ListPlans,
    PlanReply,
    Plans,
)
from shared.contracts.v1.pricing import Flags, ListFlags
from shared.contracts.v1.reporting import Activity, Audit, GetActivity, GetAudit, GetSavings, Savings
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

R = TypeVar("R", bound=Reply)


class Inquiry:
    """What a caller may ask."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        others: OtherServices,
        clock: Clock,
        ids: Ids,
        timeout_seconds: float,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._others = others
        self._clock = clock
        self._ids = ids
        self._timeout_seconds = timeout_seconds

    async def clusters(self, caller: Caller) -> list[Cluster]:
        """Return the caller's clusters."""
        async with self._unit_of_work() as uow:
            await uow.act_for(caller.organization_id)
            return list(await uow.clusters.list())

    async def cluster(self, caller: Caller, cluster_id: str) -> Cluster:
        """Return one of the caller's clusters.

        Raises:
            NotFoundError: it is not theirs.
        """
        async with self._unit_of_work() as uow:
            await uow.act_for(caller.organization_id)
            found = await uow.clusters.get(cluster_id)
        if found is None:
            raise NotFoundError("There is no such cluster.")
        return found

    async def summary(self, caller: Caller, cluster_id: str) -> ClusterSummary:
        """Return what the optimizer last saw."""
        await self.cluster(caller, cluster_id)
        question = GetClusterSummary.make(scope=cluster_id, clock=self._clock, ids=self._ids)
        return await self._ask(question, ClusterSummary)

    async def plans(self, caller: Caller, cluster_id: str, *, limit: int) -> tuple[Plans, list[ProposedPlan]]:
        """Return the optimizer's plans, and what was decided about them."""
        await self.cluster(caller, cluster_id)
        question = ListPlans.make(scope=cluster_id, clock=self._clock, ids=self._ids, limit=limit)
        answer = await self._ask(question, Plans)
        async with self._unit_of_work() as uow:
            await uow.act_for(caller.organization_id)
            return answer, list(await uow.plans.newest(cluster_id, limit=limit))

    async def plan(
        self, caller: Caller, cluster_id: str, plan_id: UUID
    ) -> tuple[PlanReply, ProposedPlan | None]:
        """Return one whole plan, and what was decided about it.

        Raises:
            NotFoundError: there is none.
        """
        await self.cluster(caller, cluster_id)
        question = GetPlan.make(scope=cluster_id, clock=self._clock, ids=self._ids, plan_id=plan_id)
        answer = await self._ask(question, PlanReply)
        if answer.plan is None or answer.plan.cluster_id != cluster_id:
            raise NotFoundError("There is no such plan.")
        async with self._unit_of_work() as uow:
            await uow.act_for(caller.organization_id)
            return answer, await uow.plans.locked(cluster_id, plan_id)

    async def executions(self, caller: Caller, cluster_id: str, *, limit: int) -> Executions:
        """Return the cluster's executions."""
        await self.cluster(caller, cluster_id)
        question = ListExecutions.make(scope=cluster_id, clock=self._clock, ids=self._ids, limit=limit)
        return await self._ask(question, Executions)

    async def execution(self, caller: Caller, cluster_id: str, execution_id: UUID) -> ExecutionReply:
        """Return one execution with its steps.

        Raises:
            NotFoundError: there is none.
        """
        await self.cluster(caller, cluster_id)
        question = GetExecution.make(
            scope=cluster_id, clock=self._clock, ids=self._ids, execution_id=execution_id
        )
        answer = await self._ask(question, ExecutionReply)
        if answer.execution is None:
            raise NotFoundError("There is no such execution.")
        return answer

    async def savings(
        self, caller: Caller, *, cluster_id: str | None, since: datetime | None, until: datetime | None
    ) -> Savings:
        """Return what was saved."""
        if cluster_id is not None:
            await self.cluster(caller, cluster_id)
        question = GetSavings.make(
            scope=caller.organization_id,
            clock=self._clock,
            ids=self._ids,
            cluster_id=cluster_id,
            since=since,
            until=until,
        )
        return await self._ask(question, Savings)

    async def activity(self, caller: Caller, *, cluster_id: str | None, limit: int) -> Activity:
        """Return what happened."""
        if cluster_id is not None:
            await self.cluster(caller, cluster_id)
        question = GetActivity.make(
            scope=caller.organization_id,
            clock=self._clock,
            ids=self._ids,
            cluster_id=cluster_id,
            limit=limit,
        )
        return await self._ask(question, Activity)

    async def audit(self, caller: Caller, *, after: int, limit: int) -> Audit:
        """Return who did what."""
        question = GetAudit.make(
            scope=caller.organization_id, clock=self._clock, ids=self._ids, after=after, limit=limit
        )
        return await self._ask(question, Audit)

    async def flags(self, region: str) -> Flags:
        """Return a region's flagged pools; they name no organization, so everybody sees the same."""
        return await self._ask(ListFlags.make(scope=region, clock=self._clock, ids=self._ids), Flags)

    async def _ask(self, question: Request, reply_class: type[R]) -> R:
        return await self._others.ask(question, reply_class, timeout_seconds=self._timeout_seconds)
