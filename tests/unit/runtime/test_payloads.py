"""What is packed comes back, and a stranger's body cannot fill the memory."""

from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from nats.js.errors import ObjectNotFoundError

from shared.runtime import payloads


class InMemoryStore:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        self.kept[name] = data

    async def get(self, name: str) -> Any:
        if name not in self.kept:
            raise ObjectNotFoundError
        return type("Result", (), {"data": self.kept[name]})()


class InMemoryJetStream:
    """As much of JetStream as payloads use."""

    def __init__(self) -> None:
        self.store = InMemoryStore()

    async def object_store(self, _bucket: str) -> InMemoryStore:
        return self.store


def make_js() -> Any:
    return InMemoryJetStream()


@given(st.binary(max_size=2000), st.integers(0, 60))
async def test_what_is_packed_comes_back(body: bytes, times: int) -> None:
    js = make_js()
    whole = body * times
    packed, headers = await payloads.pack(whole, name="m1", js=js)
    assert len(packed) <= max(len(whole), payloads.COMPRESS_ABOVE_BYTES)
    assert set(headers) <= payloads.HEADERS
    assert await payloads.unpack(packed, headers, js=js) == whole
    assert not js.store.kept, "so little never needs the store"


@pytest.mark.parametrize(
    ("bytes_", "encoded"), [(32 * 1024, False), (32 * 1024 + 1, True)], ids=["as it is", "compressed"]
)
async def test_small_bodies_travel_as_they_are(bytes_: int, *, encoded: bool) -> None:
    _, headers = await payloads.pack(b"x" * bytes_, name="m1", js=make_js())
    assert (payloads.ENCODING in headers) is encoded


async def test_a_large_body_is_kept_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "REFER_ABOVE_BYTES", 10)
    js = make_js()
    body = bytes(range(256)) * 200
    packed, headers = await payloads.pack(body, name="m1", js=js)
    assert packed == b""
    assert list(js.store.kept) == ["m1"]
    assert await payloads.unpack(packed, headers, js=js) == body


@pytest.mark.parametrize("body", [b"", b"plain text", zstandard.compress(b"x" * 1000)[:-3]])
async def test_what_is_not_zstd_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not zstd"):
        await payloads.unpack(body, {payloads.ENCODING: "zstd"}, js=make_js())


@pytest.mark.parametrize("names_its_size", [True, False])
def test_a_bomb_is_refused_whatever_size_it_announces(*, names_its_size: bool) -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=names_its_size).compress(b"0" * 1_000_001)
    assert payloads.inflate(bomb, at_most=1_000_001)
    with pytest.raises(ValueError, match="1000000 bytes"):
        payloads.inflate(bomb, at_most=1_000_000)
