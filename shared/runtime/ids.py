"""Real ids: UUIDv7, so that a table or a stream sorted by id is sorted by time (RFC 9562, 5.7)."""

from uuid import UUID

import uuid_utils


class UuidSeven:
    """See shared.kernel.ids.Ids."""

    def new(self) -> UUID:
        """Return a UUIDv7."""
        return UUID(bytes=uuid_utils.uuid7().bytes)
