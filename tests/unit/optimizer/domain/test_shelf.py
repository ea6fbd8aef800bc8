"""Offers are found on the shelf they are on, and on no other."""

from dataclasses import replace

import pytest

from services.optimizer.domain.commitments import LimitedOffer, at_extra
from services.optimizer.domain.packing.shelf import Shelf, build_shelf
from tests.builders import make_pool
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, make_market


def make_shelf() -> Shelf:
    """Give the on-demand offers, one of them three times: twice for nothing, one and two copies."""
    shelf = build_shelf(make_market(), ON_DEMAND, TEMPLATE, ())
    free = at_extra(shelf.offers[5], 0)
    return shelf.with_limited([LimitedOffer(free, 1), LimitedOffer(free, 2)])


def test_an_offer_is_found_whichever_way_it_came() -> None:
    shelf = make_shelf()
    alike = [replace(o) for o in shelf.offers]
    assert [shelf.row(o) for o in alike] == [0, 0, *range(2, len(alike))]
    assert [shelf.node_like(o).instance_type for o in alike] == [o.pool.instance_type for o in alike]


def test_an_offer_of_another_shelf_is_named() -> None:
    shelf = make_shelf()
    strange = replace(shelf.offers[-1], pool=make_pool("x9.large"))
    with pytest.raises(ValueError, match=r"x9\.large.* is not on this shelf"):
        shelf.row(strange)
    with pytest.raises(ValueError, match=r"x9\.large.* is not on this shelf"):
        shelf.node_like(strange)


def test_a_price_of_its_own_makes_an_offer_another_one_of_the_same_node() -> None:
    shelf = make_shelf()
    cheaper = replace(shelf.offers[-1], usd_per_hour=0.001)
    assert shelf.node_like(cheaper) == shelf.nodes[-1]
    with pytest.raises(ValueError, match=r"at 0\.001 USD/h"):
        shelf.row(cheaper)
