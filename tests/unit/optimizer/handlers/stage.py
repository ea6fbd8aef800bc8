"""The optimizer in memory, with one cluster that should be planned."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain, repeat
from typing import Any

from services.optimizer.handlers.propose_plan import propose_plan
from services.optimizer.handlers.reasons_to_wait import Limits
from services.optimizer.ports import Cluster, ClusterView, Config, Wanted
from shared.contracts.v1.optimizer import PlanningSkipped, PlanProposed
from shared.contracts.v1.plan import Plan, PlanTrigger
from shared.contracts.v1.policy import CapacityStrategy, NodeTemplate, Policy, SubnetRef
from shared.contracts.v1.pricing import (
    OfferingQuotes,
    PriceOrigin,
    Quote,
    QuoteSource,
)
from shared.kernel.cluster_state import Position
from shared.kernel.workload import ClusterObjects
from tests.builders import make_pod, make_pool
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.optimizer import FakeQuotes, InMemoryOptimizer
from tests.quotes import make_quotes
from tests.unit.optimizer.domain.market import PRICES, TYPES, ZONES, make_cluster, make_workload

LIMITS = Limits(
    cluster_max_age=timedelta(seconds=120),
    plan_lifetime=timedelta(hours=1),
    pending_settle=timedelta(seconds=10),
    pending_patience=timedelta(seconds=60),
)
SUBNETS = tuple(SubnetRef(subnet_id=f"subnet-{zone}", zone=zone, zone_id=zone_id) for zone, zone_id in ZONES)
TEMPLATE = NodeTemplate(launch_template_id="lt-1", subnets=SUBNETS)
POLICY = Policy(strategy=CapacityStrategy.ON_DEMAND, stabilization_seconds=600)
WASTEFUL = make_cluster(make_workload("web", 8, cpu=500), per_node=2)
"""Four nodes of 8 cores for 4 cores of requests."""


class Stage:
    """The optimizer in memory, with one cluster that should be planned."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ids = CountedIds()
        self.store = InMemoryOptimizer()
        self.quotes = FakeQuotes(self.market())
        self.store.clusters.records["c1"] = Cluster("c1", "o1", "us-east-1")
        self.configure()
        self.show(WASTEFUL)

    def market(self) -> OfferingQuotes:
        now = self.clock.now()
        source = QuoteSource(
            name="price_list", origin=PriceOrigin.UPLOAD, as_of=now, age_seconds=0, confidence=1
        )
        return make_quotes(
            region="us-east-1",
            as_of=now,
            instance_types=tuple(TYPES.values()),
            quotes=tuple(
                Quote(make_pool(name, zone_id=zone_id), Decimal(str(usd)), source)
                for name, usd in PRICES.items()
                for _, zone_id in ZONES
            ),
        )

    def configure(self, **changes: Any) -> None:
        policy = POLICY.model_copy(update=changes)
        self.store.plans.configs["c1"] = Config("o1", 3, policy, TEMPLATE)

    def show(self, objects: ClusterObjects) -> None:
        self.store.clusters.views["c1"] = ClusterView(objects, Position(7, 42), self.clock.now())

    def show_pending(self) -> None:
        self.show(replace(WASTEFUL, pods=(*WASTEFUL.pods, make_pod("big", cpu=15_000))))

    async def want(self, trigger: PlanTrigger = PlanTrigger.ON_DEMAND) -> Wanted:
        now = self.clock.now()
        await self.store.plans.want("c1", trigger, requested_by="u1", due_at=now)
        return next(w for w in await self.store.plans.due(now=now, limit=9) if w.trigger is trigger)

    async def plan(self, wanted: Wanted) -> None:
        await propose_plan(
            wanted,
            unit_of_work=self.store.unit_of_work,
            quotes=self.quotes,
            clock=self.clock,
            ids=self.ids,
            limits=LIMITS,
            stopwatch=chain((10.0,), repeat(12.5)).__next__,
        )

    async def planned(self, trigger: PlanTrigger = PlanTrigger.ON_DEMAND) -> "Plan | str":
        """Want and plan; give the plan or the reason that was told last."""
        await self.plan(await self.want(trigger))
        told = self.store.sent[-1]
        if isinstance(told, PlanProposed):
            return told.plan
        assert isinstance(told, PlanningSkipped)
        return told.reason
