"""The switch on a real bus. Whatever cannot be read counts as on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.runtime import safe_mode
from shared.runtime.messaging import Bus
from shared.runtime.safe_mode import SafeMode
from shared.runtime.streams import SAFE_MODE_BUCKET

pytestmark = pytest.mark.nats

BusFor = Callable[..., Awaitable[Bus]]


async def states(switch: SafeMode) -> list[bool]:
    """For c1 and c2 of o1, and for c3 of o2."""
    return [
        await switch.is_on(organization_id=organization, cluster_id=cluster)
        for organization, cluster in (("o1", "c1"), ("o1", "c2"), ("o2", "c3"))
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("global", [True, True, True]),
        ("organization.o1", [True, True, False]),
        ("cluster.c1", [True, False, False]),
    ],
)
async def test_it_is_on_for_whom_the_key_names(bus_for: BusFor, key: str, expected: list[bool]) -> None:
    switch = SafeMode(await bus_for("executor"))
    assert await states(switch) == [False] * 3
    await switch.put(key, on=True)
    assert await states(switch) == expected
    await switch.put(key, on=False)
    assert await states(switch) == [False] * 3


async def test_what_is_neither_on_nor_off_is_on(bus_for: BusFor) -> None:
    bus = await bus_for("executor")
    bucket = await bus.js.key_value(SAFE_MODE_BUCKET)
    await bucket.put("cluster.c1", b"of")
    assert await states(SafeMode(bus)) == [True, False, False]
    await bucket.delete("cluster.c1")
    assert await states(SafeMode(bus)) == [False] * 3


async def test_without_its_bucket_it_is_on(bus_for: BusFor) -> None:
    bus = await bus_for("executor")
    await bus.js.delete_key_value(SAFE_MODE_BUCKET)
    assert await states(SafeMode(bus)) == [True] * 3


async def test_without_a_connection_it_is_on(bus_for: BusFor) -> None:
    bus = await bus_for("executor")
    await bus.stop()
    assert await SafeMode(bus).is_on(organization_id="o1", cluster_id="c1")


async def test_a_bus_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_mode, "READ_TIMEOUT_SECONDS", 0.01)

    class HangingJetStream:
        async def key_value(self, _bucket: str) -> None:
            await asyncio.Event().wait()

    class HangingBus:
        js: Any = HangingJetStream()

    assert await SafeMode(HangingBus()).is_on(organization_id="o1", cluster_id="c1")
