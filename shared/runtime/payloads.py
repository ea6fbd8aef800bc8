"""Bodies that are too large for the bus travel compressed, and above 512 KiB through the object store."""

import zstandard
from nats.js import JetStreamContext

from shared.runtime.streams import PAYLOAD_BUCKET

COMPRESS_ABOVE_BYTES = 32 * 1024
REFER_ABOVE_BYTES = 512 * 1024
LARGEST_BODY_BYTES = 256 * 1024**2
"""Of a decompressed body: a small message must not fill the memory."""

ENCODING = "Content-Encoding"
REFERENCE = "Spot-Payload"
HEADERS = frozenset({ENCODING, REFERENCE})
"""What must travel with a body wherever it is copied to."""


async def pack(body: bytes, *, name: str, js: JetStreamContext) -> tuple[bytes, dict[str, str]]:
    """Give what to send and its headers; `name` identifies the body in the object store."""
    if len(body) <= COMPRESS_ABOVE_BYTES:
        return body, {}
    small = zstandard.ZstdCompressor(level=3).compress(body)
    headers = {ENCODING: "zstd"}
    if len(small) <= REFER_ABOVE_BYTES:
        return small, headers
    store = await js.object_store(PAYLOAD_BUCKET)
    await store.put(name, small)
    return b"", {**headers, REFERENCE: name}


async def unpack(body: bytes, headers: dict[str, str], *, js: JetStreamContext) -> bytes:
    """Undo `pack`.

    Raises:
        ValueError: the body is not what its headers say.
    """
    if REFERENCE in headers:
        store = await js.object_store(PAYLOAD_BUCKET)
        body = (await store.get(headers[REFERENCE])).data or b""
    return inflate(body, at_most=LARGEST_BODY_BYTES) if headers.get(ENCODING) == "zstd" else body


def inflate(body: bytes, *, at_most: int) -> bytes:
    """Decompress zstd without believing the size that it announces.

    Raises:
        ValueError: it is not zstd, or larger.
    """
    try:
        # `max_output_size` is ignored for a frame that names its size, so that is asked first; zstd holds it to it.
        named = zstandard.get_frame_parameters(body).content_size
        if named != zstandard.CONTENTSIZE_UNKNOWN and named > at_most:
            raise ValueError(f"the body is larger than {at_most} bytes when decompressed")
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=at_most)
    except zstandard.ZstdError as error:
        raise ValueError(f"the body is not zstd, or larger than {at_most} bytes: {error}") from error
