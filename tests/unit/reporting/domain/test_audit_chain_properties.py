"""No change to the log goes unseen."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.reporting.domain import audit_chain
from services.reporting.domain.audit_chain import BEFORE_THE_FIRST, Deed, Link


def deeds() -> st.SearchStrategy[Deed]:
    text = st.text(st.characters(codec="utf-8"), max_size=8)
    return st.builds(
        Deed,
        st.datetimes(timezones=st.just(UTC)),
        text,
        text,
        text,
        st.dictionaries(text, text, max_size=3),
    )


def chain(written: list[Deed]) -> list[Link]:
    links: list[Link] = []
    previous = BEFORE_THE_FIRST
    for position, deed in enumerate(written, 1):
        links.append(
            audit_chain.append(deed, organization_id="acme", position=position, previous_sha256=previous)
        )
        previous = links[-1].sha256
    return links


@given(st.lists(deeds(), max_size=6), st.integers(0, 6))
def test_a_chain_is_intact_from_any_position(written: list[Deed], after: int) -> None:
    links = chain(written)
    after = min(after, len(links))
    previous = links[after - 1].sha256 if after else BEFORE_THE_FIRST
    assert audit_chain.is_intact(links[after:], after=after, previous_sha256=previous)


@given(st.lists(deeds(), min_size=1, max_size=6), deeds(), st.data())
def test_any_change_is_seen(written: list[Deed], other: Deed, data: st.DataObject) -> None:
    links = chain(written)
    i = data.draw(st.integers(0, len(links) - 1))
    link = links[i]
    changed: list[Link] = [
        replace(link, deed=replace(link.deed, actor=link.deed.actor + "x")),
        replace(link, deed=replace(link.deed, detail={**link.deed.detail, "more": "x"})),
        replace(link, organization_id="other"),
        replace(link, position=link.position + 1),
        replace(link, sha256="f" * 64),
        replace(link, previous_sha256="f" * 64),
    ]
    for wrong in changed:
        assert not audit_chain.is_intact([*links[:i], wrong, *links[i + 1 :]])
    forged = audit_chain.append(
        replace(other, actor="mallory" + other.actor),
        organization_id="acme",
        position=link.position,
        previous_sha256=link.previous_sha256,
    )
    rest = links[i + 1 :]
    assert not rest or not audit_chain.is_intact([*links[:i], forged, *rest])
    assert not rest or not audit_chain.is_intact([*links[:i], *rest])


def test_an_instants_zone_does_not_change_its_hash() -> None:
    instant = datetime(2026, 1, 1, 12, tzinfo=UTC)
    deed = Deed(instant, "a", "b", "c", {})
    elsewhere = replace(deed, at=datetime.fromisoformat("2026-01-01T14:00:00+02:00"))
    one, two = (
        audit_chain.digest(d, organization_id="acme", position=1, previous_sha256=BEFORE_THE_FIRST)
        for d in (deed, elsewhere)
    )
    assert one == two
