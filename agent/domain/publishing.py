"""How state is cut into messages: a broker takes a megabyte at most, a chunk is 256 KiB at most."""

from collections.abc import Callable, Iterator, Sequence

from agent.domain.mirror import Delta, Entry, gather
from shared.kernel.workload import ClusterObjects

CHUNK_BYTES = 256 * 1024
OBJECTS_A_CHUNK = 2_000
"""Where cutting begins; an object is 100 to 300 bytes once compressed."""
OBJECTS_A_DELTA = 200


def chunks(
    entries: Sequence[Entry], *, encode: Callable[[ClusterObjects], bytes], limit_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Give bodies that together hold every entry, each within the limit unless one object alone exceeds it.

    A cluster without objects still gives one (empty) body: it too is a state.
    """
    starts = range(0, max(len(entries), 1), OBJECTS_A_CHUNK)
    pending = [entries[start : start + OBJECTS_A_CHUNK] for start in reversed(starts)]
    while pending:
        part = pending.pop()
        body = encode(gather(part))
        if len(body) <= limit_bytes or len(part) <= 1:
            yield body
        else:
            middle = len(part) // 2
            pending += [part[middle:], part[:middle]]


def batches(delta: Delta, *, limit: int = OBJECTS_A_DELTA) -> Iterator[Delta]:
    """Give deltas of at most `limit` changes which, applied in order, amount to this one."""
    if len(delta) <= limit:
        yield delta
        return
    for start in range(0, len(delta.deletes), limit):
        yield Delta((), delta.deletes[start : start + limit])
    for start in range(0, len(delta.upserts), limit):
        yield Delta(delta.upserts[start : start + limit])
