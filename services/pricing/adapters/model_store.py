"""The risk model behind its port: in a child process with limits, restarted with growing pauses.

The child gets no environment of ours but the import path, so no credentials; it is asked over a pipe, in batches,
one at a time. Whatever goes wrong is a RiskModelUnavailableError with one of few words for the metric, and the
caller goes on without the model.
"""

import asyncio
import contextlib
import json
import math
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace
from services.pricing.errors import RiskModelUnavailableError
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

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

    @property
    def name(self) -> str:
        """See the port."""
        try:
            return _card_sha256(self.path)[:12]
        except RiskModelUnavailableError:
            return "none"

    async def opinions(self, pasts: Sequence[Trace]) -> Sequence[Opinion | None]:
        """See the port."""
        found: list[Opinion | None] = []
        async with self._lock:
            for first in range(0, len(pasts), PASTS_A_BATCH):
                found += await self._batch(pasts[first : first + PASTS_A_BATCH])
        return found

    async def close(self) -> None:
        """End the child."""
        async with self._lock:
            await self._kill()

    async def _batch(self, pasts: Sequence[Trace]) -> list[Opinion | None]:
        try:
            process = await self._running()
            body = json.dumps({"pasts": [_sent(past) for past in pasts]}).encode()
            answer = await self._exchange(process, body, seconds=self.limits.answer_seconds)
            found = _opinions(answer, len(pasts))
        except RiskModelUnavailableError as error:
            if error.reason != "resting":
                await self._rest(error)
            raise
        except BaseException:
            # Cancelled half-way: the next answer would be that to a question nobody remembers.
            await self._kill()
            raise
        self._failures = 0
        return found

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._not_before is not None and self.clock.now() < self._not_before:
            raise RiskModelUnavailableError(
                "The risk model failed and is not tried again yet.", reason="resting"
            )
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
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


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


def _opinions(answer: dict[str, Any], count: int) -> list[Opinion | None]:
    """Believe no answer that cannot be."""
    if "error" in answer:
        raise RiskModelUnavailableError(f"The risk model failed: {answer['error']}.", reason="error")
    try:
        found = [one and _opinion(one) for one in answer["opinions"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RiskModelUnavailableError("The risk model's answer cannot be.", reason="malformed") from error
    if len(found) != count:
        raise RiskModelUnavailableError("The risk model left pools out.", reason="malformed")
    return found


def _opinion(one: dict[str, Any]) -> Opinion:
    said = {str(name): float(p) for name, p in one["probability_by_horizon"].items()}
    strange = float(one["strange_share"])
    if not (said.keys() <= HORIZON_SECONDS.keys() and all(_is_share(p) for p in [*said.values(), strange])):
        raise ValueError("out of range")
    return Opinion(said, strange)


def _is_share(number: float) -> bool:
    return math.isfinite(number) and 0 <= number <= 1
