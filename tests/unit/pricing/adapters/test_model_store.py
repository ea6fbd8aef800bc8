"""The child process as the service meets it: right, slow, broken, greedy, foreign."""

import asyncio
import hashlib
import json
import pickle
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.pricing.adapters.model_store import SHIPPED_MODEL, ChildModelStore, Limits
from services.pricing.domain.risk_model import model_file
from services.pricing.domain.risk_model.opinion import opinion
from services.pricing.errors import RiskModelUnavailableError
from tests.unit.pricing.risk_model.recordings import drawn_up, make_trace
from tests.waiting import until

FRAME = """
import json, struct, sys, time
def say(answer):
    body = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack('>I', len(body)) + body)
    sys.stdout.flush()
"""
HELLO = FRAME + "say({'sha256':'x'})\nsys.stdin.buffer.read(4)\n"
RESTLESS = make_trace(np.concatenate([drawn_up(0.2, ticks=200, seed=1), [1]]))
DOWN = make_trace([1, 1, 0])


class SetClock:
    """Stands where a test puts it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the store never sleeps")


MakeStore = Callable[..., ChildModelStore]


@pytest.fixture
async def make_store() -> AsyncIterator[MakeStore]:
    made: list[ChildModelStore] = []

    def make(*, script: str | None = None, **changes: object) -> ChildModelStore:
        command = {} if script is None else {"command": (sys.executable, "-c", script)}
        made.append(ChildModelStore(clock=SetClock(), **command, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for store in made:
        await store.close()


def with_card(path: Path, body: bytes, *, sha256: str | None = None) -> Path:
    path.write_bytes(body)
    path.with_suffix(".card.json").write_text(
        json.dumps({"sha256": sha256 or hashlib.sha256(body).hexdigest()})
    )
    return path


async def reason_of(store: ChildModelStore) -> str:
    with pytest.raises(RiskModelUnavailableError) as caught:
        await store.opinions([RESTLESS])
    return caught.value.reason


async def test_the_child_says_what_the_model_says_and_stays(make_store: MakeStore) -> None:
    store = make_store()

    first = await store.opinions([RESTLESS, DOWN])
    child = store._process
    again = await store.opinions([RESTLESS])

    here = opinion(model_file.from_bytes(SHIPPED_MODEL.read_bytes()), RESTLESS)
    assert first[0] is not None
    assert here is not None
    assert first[0].probability_by_horizon == pytest.approx(dict(here.probability_by_horizon))
    assert first[1] is None
    assert again[0] == first[0]
    assert store._process is child
    assert len(store.name) == 12


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit(3)", "died"),
        (FRAME + "say({'error':'no'})", "refused"),
        (HELLO + "raise SystemExit(0)", "died"),
        (HELLO + "say({'opinions':[]})", "malformed"),
        (HELLO + "say({'opinions':[{'probability_by_horizon':{'1h':7},'strange_share':0}]})", "malformed"),
        (HELLO + "say({'opinions':[{'probability_by_horizon':{'2h':0},'strange_share':0}]})", "malformed"),
        (HELLO + "say([1])", "malformed"),
        (HELLO + "sys.stdout.buffer.write(b'\\0\\0\\0\\1{');sys.stdout.flush()", "malformed"),
        (HELLO + "sys.stdout.buffer.write(b'\\xff'*4);sys.stdout.flush()", "malformed"),
        (HELLO + "say({'error':'overflow'})", "error"),
    ],
)
async def test_a_child_that_fails_is_ended_and_rests(make_store: MakeStore, script: str, reason: str) -> None:
    store = make_store(script=script)

    assert await reason_of(store) == reason
    assert store._process is None
    assert await reason_of(store) == "resting"


async def test_a_slow_child_is_ended(make_store: MakeStore) -> None:
    store = make_store(script=HELLO + "time.sleep(60)", limits=Limits(answer_seconds=0.05))

    assert await reason_of(store) == "timeout"
    assert store._process is None


async def test_pauses_grow_up_to_a_limit(make_store: MakeStore) -> None:
    limits = Limits(first_pause=timedelta(seconds=10), longest_pause=timedelta(seconds=25))
    store = make_store(script="raise SystemExit(3)", limits=limits)
    clock = store.clock
    assert isinstance(clock, SetClock)
    pauses = []
    for _ in range(4):
        assert await reason_of(store) == "died"
        assert store._not_before is not None
        pauses.append((store._not_before - clock.at).total_seconds())
        clock.at = store._not_before

    assert pauses == [10, 20, 25, 25]


async def test_who_gives_up_waiting_leaves_no_answer_behind(make_store: MakeStore) -> None:
    store = make_store(script=HELLO + "time.sleep(60)")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await store.opinions([RESTLESS])

    assert store._process is None
    assert store._not_before is None


async def test_no_credentials_reach_the_child(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = make_store(script=FRAME + "import os\nsay({'error':str(sorted(os.environ))})")

    with pytest.raises(RiskModelUnavailableError) as caught:
        await store.opinions([RESTLESS])

    assert "PYTHONPATH" in str(caught.value)
    assert "AWS" not in str(caught.value)


async def test_a_pickle_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    assert await reason_of(make_store(path=with_card(tmp_path / "m.skops", pickle.dumps([1])))) == "refused"


async def test_a_file_that_is_not_the_card_s_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    other = with_card(tmp_path / "m.skops", SHIPPED_MODEL.read_bytes(), sha256="0" * 64)

    assert await reason_of(make_store(path=other)) == "refused"


async def test_a_file_without_a_card_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(b"")
    store = make_store(path=tmp_path / "m.skops")

    assert await reason_of(store) == "refused"
    assert store.name == "none"


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of address space elsewhere")
async def test_a_child_that_needs_more_memory_than_it_may_have_fails(make_store: MakeStore) -> None:
    store = make_store(limits=Limits(memory_bytes=150_000_000))

    assert await reason_of(store) in {"refused", "died"}


async def settled(store: ChildModelStore) -> None:
    """Wait until what went on in the background has ended."""
    async with asyncio.timeout(30):
        await asyncio.gather(*store._going_on, return_exceptions=True)


async def reason_at_once(store: ChildModelStore) -> str:
    with pytest.raises(RiskModelUnavailableError) as caught:
        async with asyncio.timeout(5):
            await store.opinions([RESTLESS], can_wait=False)
    return caught.value.reason


async def test_while_the_model_loads_nobody_waits_and_it_is_loaded_once(make_store: MakeStore) -> None:
    store = make_store()

    assert [await reason_at_once(store) for _ in range(5)] == ["loading"] * 5
    assert len(store._going_on) == 1
    await settled(store)

    assert await store.opinions([RESTLESS], can_wait=False) == await store.opinions([RESTLESS])


async def test_a_model_that_never_loads_holds_up_nobody(make_store: MakeStore) -> None:
    store = make_store(script=FRAME + "time.sleep(60)", limits=Limits(start_seconds=0.2))

    assert await reason_at_once(store) == "loading"
    await settled(store)

    assert store._process is None
    assert await reason_at_once(store) == "resting"


async def test_a_child_that_died_is_started_anew_while_nobody_waits(make_store: MakeStore) -> None:
    store = make_store()
    await store.opinions([RESTLESS])
    assert store._process is not None
    store._process.kill()
    await store._process.wait()

    assert await reason_at_once(store) == "loading"
    await settled(store)

    assert await store.opinions([RESTLESS], can_wait=False) == await store.opinions([RESTLESS])


async def test_who_cannot_wait_is_not_held_up_by_another_s_question(make_store: MakeStore) -> None:
    store = make_store(script=HELLO + "time.sleep(60)", limits=Limits(patience_seconds=0.05))
    patient = asyncio.create_task(store.opinions([RESTLESS]))
    await until(lambda: store._is_loaded)

    assert await reason_at_once(store) == "busy"
    assert not patient.done()
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient


async def test_a_question_nobody_waits_for_is_answered_before_the_next(make_store: MakeStore) -> None:
    answers = FRAME + (
        "say({'sha256':'x'})\n"
        "wait=0.2\n"
        "while head := sys.stdin.buffer.read(4):\n"
        "  asked = json.loads(sys.stdin.buffer.read(struct.unpack('>I', head)[0]))\n"
        "  time.sleep(wait); wait = 0\n"
        "  say({'opinions': [None] * len(asked['pasts'])})\n"
    )
    store = make_store(script=answers, limits=Limits(patience_seconds=0.05))

    async with asyncio.timeout(10):
        assert await reason_at_once(store) == "loading"
        await settled(store)
        assert await reason_at_once(store) == "busy"
        assert await store.opinions([RESTLESS, DOWN]) == [None, None]


async def test_the_store_closes_while_somebody_s_question_goes_on(make_store: MakeStore) -> None:
    store = make_store(script=HELLO + "time.sleep(60)", limits=Limits(patience_seconds=0.01))
    assert await reason_at_once(store) == "loading"
    await settled(store)
    assert await reason_at_once(store) == "busy"

    async with asyncio.timeout(5):
        await store.close()

    assert store._process is None
    assert not store._lock.locked()


async def test_drift_is_what_the_model_says_it_is(make_store: MakeStore) -> None:
    store = make_store()

    found = await store.drift([RESTLESS, DOWN])

    here = model_file.from_bytes(SHIPPED_MODEL.read_bytes()).drift([RESTLESS, DOWN])
    assert found.pools == here.pools == 2
    assert found.index_by_feature == pytest.approx(dict(here.index_by_feature))


@pytest.mark.parametrize("drift", ["{'a':-1}", "{'a':float('inf')}", "[]", "{'a':'b'}"])
async def test_a_drift_that_cannot_be_is_not_believed(make_store: MakeStore, drift: str) -> None:
    store = make_store(script=HELLO + f"say({{'pools':1,'drift':{drift}}})")

    with pytest.raises(RiskModelUnavailableError) as caught:
        await store.drift([RESTLESS])
    assert caught.value.reason == "malformed"
