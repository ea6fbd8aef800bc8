"""What was saved, against a baseline that a person can recompute."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.reporting.domain import ledger, savings
from services.reporting.domain.allocation import IDLE, PodSpan, WorkloadKey
from services.reporting.domain.ledger import NodeSpan, PricePoint
from services.reporting.domain.savings import Baseline
from shared.kernel.pools import CapacityType, PoolKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POOL = PoolKey("us-east-1", "m5.large", "use1-az1", CapacityType.SPOT)
WEB = WorkloadKey("shop", "Deployment", "web")
BASELINE = Baseline(NOON - HOUR, Decimal("0.04"), Decimal("0.01"))


def node(name: str = "a", *, pool: PoolKey | None = POOL) -> NodeSpan:
    return NodeSpan(name, pool, 2000, 8 * 2**30, NOON - HOUR, None)


def pod(name: str = "a", *, cpu: int = 1000, gib: int = 4, until: datetime | None = None) -> PodSpan:
    return PodSpan(name, WEB, cpu, gib * 2**30, NOON - HOUR, until)


def close(nodes: list[NodeSpan], pods: list[PodSpan], *, price: str = "0.05") -> savings.ClosedSlice:
    prices = {POOL: [PricePoint(NOON - HOUR, Decimal(price))]}
    charges = ledger.charges(nodes, prices, start=NOON, end=NOON + HOUR)
    return savings.close(start=NOON, end=NOON + HOUR, charges=charges, pods=pods, baseline=BASELINE)


def test_savings_are_the_baseline_of_what_ran_less_what_the_nodes_cost() -> None:
    closed = close([node()], [pod()])
    assert closed.booking == savings.Booking(Decimal("0.08"), Decimal("0.03"))
    assert closed.costs == {WEB: Decimal("0.025"), IDLE: Decimal("0.025")}


def test_losses_are_booked_too() -> None:
    closed = close([node()], [], price="0.05")
    assert closed.booking == savings.Booking(Decimal(0), Decimal("-0.05"))


def test_a_pod_that_left_counts_for_its_time_only() -> None:
    closed = close([node()], [pod(until=NOON + HOUR / 2)])
    assert closed.requested.vcpu_hours == Decimal("0.5")
    assert closed.requested.gib_hours == Decimal(2)


def test_requests_on_a_node_without_a_price_are_no_savings() -> None:
    closed = close([node(), node("b", pool=None)], [pod(), pod("b")])
    assert closed.booking == savings.Booking(Decimal("0.08"), Decimal("0.03"))
    assert [c.node.name for c in closed.unpriced] == ["b"]


def test_without_a_baseline_costs_are_known_and_nothing_is_booked() -> None:
    closed = savings.close(start=NOON, end=NOON + HOUR, charges=[], pods=[], baseline=None)
    assert (closed.booking, closed.cost_usd) == (None, Decimal(0))


def test_a_baseline_holds_until_the_next_one() -> None:
    later = Baseline(NOON, Decimal("0.02"), Decimal(0))
    assert savings.baseline_at([BASELINE, later], NOON - HOUR * 2) is None
    assert savings.baseline_at([later, BASELINE], NOON - timedelta(seconds=1)) == BASELINE
    assert savings.baseline_at([BASELINE, later], NOON) == later
