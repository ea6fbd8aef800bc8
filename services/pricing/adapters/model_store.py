"""The risk model behind its port: in a child process with limits, restarted with growing pauses.

The child gets no environment of ours but the import path, so no credentials; it is asked over a pipe, in batches,
one at a time. Whatever goes wrong is a RiskModelUnavailableError with one of few words for the metric, and the
caller goes on without the model. Who cannot wait is told at once that the model is loading, and soon that it is busy;
the child goes on with what it was asked.
"""

import asyncio
import contextlib
import functools
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.drift import Drift
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace
from services.pricing.errors import RiskModelUnavailableError
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)
T = TypeVar("T")

SHIPPED_MODEL: Final = Path(__file__).parent.parent / "models" / "risk.skops"
CHILD: Final = "services.pricing.adapters.model_child"
"""Named, not imported: it must not run here."""
LENGTH: Final = struct.Struct(">I")
LARGEST_ANSWER_BYTES: Final = 8_000_000
PASTS_A_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may take."""

    memory_bytes: int = 1_500_000_000
    """Of address space; numpy, scipy and scikit-learn reserve 0.4 GB of it and use 0.15."""
    cpu_seconds: int = 20
    start_seconds: float = 60.0
    answer_seconds: float = 30.0
    patience_seconds: float = 1.0
    """How long who cannot wait does wait for a model that is loaded."""
    first_pause: timedelta = timedelta(seconds=5)
    longest_pause: timedelta = timedelta(minutes=10)


@dataclass(kw_only=True)
class ChildModelStore:
    """See ports.RiskModelStore."""

    clock: Clock
    path: Path = SHIPPED_MODEL
    limits: Limits = Limits()
    command: Sequence[str] = (sys.executable, "-m", CHILD)
    _process: asyncio.subprocess.Process | None = None
    _failures: int = 0
    _not_before: datetime | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_loaded: bool = False
    _going_on: set[asyncio.Task[Any]] = field(default_factory=set)
    """What may outlive who asked for it."""

    @property
    def name(self) -> str:
        """See the port."""
        try:
            return _card_sha256(self.path)[:12]
        except RiskModelUnavailableError:
            return "none"

    async def opinions(self, pasts: Sequence[Trace], *, can_wait: bool = True) -> Sequence[Opinion | None]:
        """See the port."""
        if can_wait:
            async with self._lock:
                return await self._opinions(pasts)
        if not (self._is_loaded and self._is_running):
            self._load_meanwhile()
            raise RiskModelUnavailableError("The risk model is being loaded.", reason="loading")
        busy = RiskModelUnavailableError("The risk model is busy.", reason="busy")
        try:
            async with asyncio.timeout(self.limits.patience_seconds):
                await self._lock.acquire()
        except TimeoutError:
            raise busy from None
        task = self._meanwhile(self._opinions(pasts))
        task.add_done_callback(lambda _: self._lock.release())
        done, _ = await asyncio.wait({task}, timeout=self.limits.patience_seconds)
        if not done:
            raise busy
        return task.result()

    async def drift(self, pasts: Sequence[Trace]) -> Drift:
        """See the port."""
        question = {"drift": [_sent(past) for past in pasts[:PASTS_A_BATCH]]}
        async with self._lock:
            return await self._resting_after_failure(self._answer(question, _drift))

    async def close(self) -> None:
        """End the child."""
        for task in tuple(self._going_on):
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        async with self._lock:
            await self._kill()

    def _load_meanwhile(self) -> None:
        """Load in the background, unless somebody does, or the last failure is too fresh."""
        if self._not_before is not None and self.clock.now() < self._not_before:
            raise _resting()
        if not (self._going_on or self._lock.locked()):
            self._meanwhile(self._load())

    async def _load(self) -> None:
        async with self._lock:
            with contextlib.suppress(RiskModelUnavailableError):
                await self._resting_after_failure(self._running())

    def _meanwhile(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin what goes on when nobody waits for it any more."""
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            # Nobody may be left to hear of a failure; the log was told.
            task.exception()

    async def _opinions(self, pasts: Sequence[Trace]) -> list[Opinion | None]:
        found: list[Opinion | None] = []
        for first in range(0, len(pasts), PASTS_A_BATCH):
            batch = pasts[first : first + PASTS_A_BATCH]
            question = {"pasts": [_sent(past) for past in batch]}
            read = functools.partial(_opinions, count=len(batch))
            found += await self._resting_after_failure(self._answer(question, read))
        return found

    async def _resting_after_failure(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except RiskModelUnavailableError as error:
            if error.reason != "resting":
                await self._rest(error)
            raise
        except BaseException:
            # Cancelled half-way: the next answer would be that to a question nobody remembers.
            await self._kill()
            raise

    async def _answer(self, question: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        process = await self._running()
        body = json.dumps(question).encode()
        found = read(await self._exchange(process, body, seconds=self.limits.answer_seconds))
        self._failures = 0
        return found

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._is_running:
            return self._process
        if self._not_before is not None and self.clock.now() < self._not_before:
            raise _resting()
        sha256 = _card_sha256(self.path)
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self.command,
                str(self.path),
                sha256,
                str(self.limits.memory_bytes),
                str(self.limits.cpu_seconds),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={
                    "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        except OSError as error:
            raise RiskModelUnavailableError(
                f"The risk model's process does not start: {error}.", reason="error"
            ) from error
        hello = await self._exchange(process, None, seconds=self.limits.start_seconds)
        if "sha256" not in hello:
            raise RiskModelUnavailableError(
                f"The risk model is refused: {hello.get('error')}.", reason="refused"
            )
        self._is_loaded = True
        log.info("risk_model_loaded", model=sha256[:12])
        return process

    async def _exchange(
        self, process: asyncio.subprocess.Process, body: bytes | None, *, seconds: float
    ) -> Any:
        if process.stdin is None or process.stdout is None:
            raise RiskModelUnavailableError("The risk model's process has no pipe.", reason="error")
        try:
            async with asyncio.timeout(seconds):
                if body is not None:
                    process.stdin.write(LENGTH.pack(len(body)) + body)
                    await process.stdin.drain()
                (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                if length > LARGEST_ANSWER_BYTES:
                    raise RiskModelUnavailableError(
                        "The risk model's answer is too long.", reason="malformed"
                    )
                answer = json.loads(await process.stdout.readexactly(length))
        except TimeoutError as error:
            raise RiskModelUnavailableError(
                "The risk model did not answer in time.", reason="timeout"
            ) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await process.wait()
            raise RiskModelUnavailableError(
                f"The risk model's process ended ({process.returncode}).", reason="died"
            ) from error
        except ValueError as error:
            raise RiskModelUnavailableError(
                "The risk model's answer is no JSON.", reason="malformed"
            ) from error
        if not isinstance(answer, dict):
            raise RiskModelUnavailableError("The risk model's answer is no object.", reason="malformed")
        return answer

    async def _rest(self, error: RiskModelUnavailableError) -> None:
        await self._kill()
        pause = min(self.limits.first_pause * 2**self._failures, self.limits.longest_pause)
        self._failures = min(self._failures + 1, 20)
        self._not_before = self.clock.now() + pause
        log.warning(
            "risk_model_failed", reason=error.reason, error=str(error), pause_seconds=pause.total_seconds()
        )

    async def _kill(self) -> None:
        process, self._process, self._is_loaded = self._process, None, False
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _resting() -> RiskModelUnavailableError:
    return RiskModelUnavailableError("The risk model failed and is not tried again yet.", reason="resting")


def _card_sha256(path: Path) -> str:
    """Read which file the card describes; any other is refused."""
    try:
        said = json.loads(path.with_suffix(".card.json").read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RiskModelUnavailableError(
            f"{path.name} has no card that says which file it is.", reason="refused"
        ) from error
    return str(said)


def _sent(past: Trace) -> dict[str, Any]:
    return {
        "zone": past.zone,
        "instance_type": past.instance_type,
        "tick_seconds": past.tick_seconds,
        "up": past.up.tolist(),
        "siblings_up": None if past.siblings_up is None else past.siblings_up.tolist(),
    }


def _said(answer: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
    """Believe no answer that cannot be."""
    if "error" in answer:
        raise RiskModelUnavailableError(f"The risk model failed: {answer['error']}.", reason="error")
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RiskModelUnavailableError("The risk model's answer cannot be.", reason="malformed") from error


def _opinions(answer: dict[str, Any], *, count: int) -> list[Opinion | None]:
    found = _said(answer, lambda told: [one and _opinion(one) for one in told["opinions"]])
    if len(found) != count:
        raise RiskModelUnavailableError("The risk model left pools out.", reason="malformed")
    return found


def _drift(answer: dict[str, Any]) -> Drift:
    def read(told: dict[str, Any]) -> Drift:
        found = {str(name): float(value) for name, value in told["drift"].items()}
        if not all(math.isfinite(value) and value >= 0 for value in found.values()):
            raise ValueError("out of range")
        return Drift(int(told["pools"]), found)

    return _said(answer, read)


def _opinion(one: dict[str, Any]) -> Opinion:
    said = {str(name): float(p) for name, p in one["probability_by_horizon"].items()}
    strange = float(one["strange_share"])
    if not (said.keys() <= HORIZON_SECONDS.keys() and all(_is_share(p) for p in [*said.values(), strange])):
        raise ValueError("out of range")
    return Opinion(said, strange)


def _is_share(number: float) -> bool:
    return math.isfinite(number) and 0 <= number <= 1
