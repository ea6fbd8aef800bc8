"""Whatever nodes, pods and prices there are: nothing is lost, nothing is counted twice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.reporting.domain import ledger
from services.reporting.domain.allocation import PodSpan, WorkloadKey, allocate, by_node, requested
from services.reporting.domain.ledger import NodeSpan, PricePoint
from shared.kernel.pools import CapacityType, PoolKey

START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 600
END = START + timedelta(seconds=SECONDS)
POOLS = [PoolKey("r", name, "z", CapacityType.SPOT) for name in ("a", "b")]
TOLERANCE = Decimal("1e-9")


def instants() -> st.SearchStrategy[datetime]:
    return st.integers(-100, SECONDS + 100).map(lambda n: START + timedelta(seconds=n))


def spans() -> st.SearchStrategy[tuple[datetime, datetime | None]]:
    ended = st.tuples(instants(), instants()).map(lambda pair: (min(pair), max(pair)))
    return ended | instants().map(lambda since: (since, None))


@st.composite
def nodes(draw: st.DrawFn) -> list[NodeSpan]:
    return [
        NodeSpan(
            f"n{i}",
            draw(st.sampled_from([*POOLS, None])),
            draw(st.integers(0, 8000)),
            draw(st.integers(0, 2**36)),
            *draw(spans()),
        )
        for i in range(draw(st.integers(0, 4)))
    ]


def pods() -> st.SearchStrategy[list[PodSpan]]:
    one = st.builds(
        lambda node, name, cpu, memory, span: PodSpan(
            node, WorkloadKey("ns", "Deployment", name), cpu, memory, *span
        ),
        st.sampled_from(["n0", "n1", "n2", "gone"]),
        st.sampled_from(["x", "y"]),
        st.integers(0, 9000),
        st.integers(0, 2**37),
        spans(),
    )
    return st.lists(one, max_size=8)


def prices() -> st.SearchStrategy[dict[PoolKey, list[PricePoint]]]:
    amount = st.decimals("0.0001", "40", places=4)
    points = st.lists(
        st.builds(PricePoint, instants(), amount), max_size=5, unique_by=lambda p: p.effective_at
    )
    return st.dictionaries(
        st.sampled_from(POOLS), points.map(lambda found: sorted(found, key=lambda p: p.effective_at))
    )


def total(charged: list[ledger.Charge]) -> Decimal:
    return sum((c.cost_usd for c in charged if c.cost_usd is not None), Decimal(0))


@given(nodes(), pods(), prices())
def test_the_parts_sum_to_the_cost_exactly(
    nodes: list[NodeSpan], pods: list[PodSpan], prices: dict[PoolKey, list[PricePoint]]
) -> None:
    charged = ledger.charges(nodes, prices, start=START, end=END)
    costs = allocate(charged, by_node(pods))
    assert sum(costs.values(), Decimal(0)) == total(charged)
    assert all(cost >= 0 for cost in costs.values())


@given(nodes(), pods(), prices(), st.integers(1, SECONDS - 1))
def test_two_slices_sum_to_the_slice_of_both(
    nodes: list[NodeSpan], pods: list[PodSpan], prices: dict[PoolKey, list[PricePoint]], cut: int
) -> None:
    middle = START + timedelta(seconds=cut)
    whole = ledger.charges(nodes, prices, start=START, end=END)
    parts = ledger.charges(nodes, prices, start=START, end=middle)
    parts += ledger.charges(nodes, prices, start=middle, end=END)
    assert abs(total(whole) - total(parts)) < TOLERANCE
    assert sum((c.end - c.start for c in whole), timedelta()) == sum(
        (c.end - c.start for c in parts), timedelta()
    )
    once, twice = requested(whole, by_node(pods)), requested(parts, by_node(pods))
    assert abs(once.vcpu_hours - twice.vcpu_hours) < TOLERANCE
    assert abs(once.gib_hours - twice.gib_hours) < TOLERANCE


@given(nodes(), prices())
def test_every_second_is_charged_once(nodes: list[NodeSpan], prices: dict[PoolKey, list[PricePoint]]) -> None:
    charged = ledger.charges(nodes, prices, start=START, end=END)
    for node in nodes:
        own = sorted((c.start, c.end) for c in charged if c.node is node)
        there = ledger.overlap(node.since, node.until, START, END)
        if there is None:
            assert own == []
            continue
        assert (own[0][0], own[-1][1]) == there
        assert all(first[1] == second[0] for first, second in pairwise(own))


@given(instants(), st.integers(1, 900), st.lists(instants()))
def test_a_slice_ends_later_than_it_begins_and_holds_no_baseline_inside(
    start: datetime, seconds: int, baselines: list[datetime]
) -> None:
    length = timedelta(seconds=seconds)
    end = ledger.slice_end(start, length=length, baselines=baselines)
    assert start < end <= start + length
    assert not any(start < at < end for at in baselines)
