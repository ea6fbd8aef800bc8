"""The process that holds the risk model: it reads a file that may be foreign, so it has little to lose.

    python -m services.pricing.adapters.model_child MODEL SHA256 MEMORY_BYTES CPU_SECONDS

Frames on stdin and stdout: four bytes of length (big endian), then JSON. It first says {"sha256"} or {"error"},
then answers each {"pasts": [...]} with {"opinions": [...]}, each {"drift": [...]}, pasts as well, with {"pools",
"drift"}, or either with {"error"}. A batch has `CPU_SECONDS`; more ends the process, and so does more memory. It
opens no file for writing.
"""

import hashlib
import json
import os
import resource
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

LARGEST_FRAME_BYTES: Final = 32_000_000
LARGEST_FILE_BYTES: Final = 500_000
LENGTH: Final = struct.Struct(">I")


def main() -> None:
    """Limit this process, load the model, answer until stdin ends."""
    path, sha256, memory_bytes, cpu_seconds = sys.argv[1:]
    _limit(resource.RLIMIT_AS, int(memory_bytes))
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    # What a library prints must not look like an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _allow_cpu(int(cpu_seconds))
    try:
        body = _read(path, sha256)
        # Not above: these load hundreds of MB, which must count against the limits.
        from services.pricing.domain.risk_model import model_file, opinion

        model = model_file.from_bytes(body)
    except Exception as error:  # whatever a foreign file breaks, the parent is told
        _write(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    _write(answers, {"sha256": sha256})
    while (batch := _next(sys.stdin.buffer)) is not None:
        _allow_cpu(int(cpu_seconds))
        try:
            if "drift" in batch:
                drift = model.drift([_past(past) for past in batch["drift"]])
                answer: dict[str, Any] = {"pools": drift.pools, "drift": dict(drift.index_by_feature)}
            else:
                said = [opinion.opinion(model, _past(past)) for past in batch["pasts"]]
                answer = {"opinions": [o and _told(o) for o in said]}
        except Exception as error:  # one bad batch is no reason to load the model again
            answer = {"error": f"{type(error).__name__}: {error}"}
        _write(answers, answer)


def _told(opinion: Any) -> dict[str, Any]:
    return {
        "probability_by_horizon": dict(opinion.probability_by_horizon),
        "strange_share": opinion.strange_share,
    }


def _limit(which: int, most: int) -> None:
    """Lower a limit, where the system lets us: macOS knows no limit of address space."""
    try:
        resource.setrlimit(which, (most, most))
    except (ValueError, OSError):
        if sys.platform == "linux":
            raise


def _allow_cpu(seconds: int) -> None:
    """Let this process compute for so much longer."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + 1 + seconds, hard))


def _read(path: str, sha256: str) -> bytes:
    with open(path, "rb") as file:
        body = file.read(LARGEST_FILE_BYTES + 1)
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise ValueError(f"the file is {found[:12]}, its card says {sha256[:12]}")
    return body


def _past(sent: Mapping[str, Any]) -> Any:
    import numpy as np

    from services.pricing.domain.risk_model.traces import Trace, TraceKind

    siblings = sent["siblings_up"]
    return Trace(
        name="pool",
        kind=TraceKind.PREEMPTION,
        zone=sent["zone"],
        instance_type=sent["instance_type"],
        collection="live",
        tick_seconds=float(sent["tick_seconds"]),
        up=np.array(sent["up"], dtype=np.int64),
        siblings_up=None if siblings is None else np.array(siblings, dtype=np.float64),
    )


def _next(questions: BinaryIO) -> Any:
    """Read a frame; None at the end."""
    head = questions.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    if length > LARGEST_FRAME_BYTES:
        return None
    return json.loads(questions.read(length))


def _write(answers: BinaryIO, answer: Mapping[str, Any]) -> None:
    body = json.dumps(answer, allow_nan=False).encode()
    answers.write(LENGTH.pack(len(body)) + body)
    answers.flush()


if __name__ == "__main__":
    main()
