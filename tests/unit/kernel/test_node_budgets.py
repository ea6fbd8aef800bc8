"""The share of a node pool that may be disrupted at once."""

from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.node_budgets import node_budgets
from tests.builders import make_node

POOLS = st.lists(st.sampled_from(["web", "db", None]), min_size=1, max_size=40)


@given(POOLS, st.integers(1, 100), st.randoms(use_true_random=False))
def test_no_pool_ever_loses_more_than_its_share(pools: list[str | None], percent: int, rng: object) -> None:
    nodes = [make_node(f"n{i}", node_pool=pool) for i, pool in enumerate(pools)]
    budgets = node_budgets(nodes, ratio=percent / 100)
    order = [n.name for n in nodes]
    rng.shuffle(order)  # type: ignore[attr-defined]
    gone: list[str] = []
    for name in order:
        if budgets.allows(name, gone):
            gone.append(name)
    for pool in set(pools):
        lost = sum(budgets.pools[name] == pool for name in gone)
        assert lost == max(1, pools.count(pool) * percent // 100)


def test_the_share_of_a_pool_is_what_is_written_and_not_what_a_float_holds() -> None:
    assert node_budgets([make_node(f"n{i}") for i in range(100)], ratio=0.29).at_most == {None: 29}


def test_a_small_pool_is_not_emptied_on_account_of_a_large_one() -> None:
    nodes = [make_node(f"w{i}", node_pool="web") for i in range(18)]
    nodes += [make_node(f"d{i}", node_pool="db") for i in range(2)]
    budgets = node_budgets(nodes, ratio=0.2)
    assert budgets.allows("d0", ["w0", "w1"])
    assert not budgets.allows("d1", ["d0"])
    assert budgets.allows("w2", ["d0", "w0", "w1"])
    assert not budgets.allows("w3", ["w0", "w1", "w2"])


def test_a_node_that_nobody_knows_is_disrupted_alone() -> None:
    budgets = node_budgets([make_node("n")], ratio=1.0)
    assert budgets.allows("lost", [])
    assert not budgets.allows("lost", ["n"])
