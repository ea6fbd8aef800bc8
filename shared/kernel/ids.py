"""Identity is an argument: ids are made by whoever is passed in, so that a test can foresee them."""

from typing import Protocol
from uuid import UUID


class Ids(Protocol):
    """Where ids come from."""

    def new(self) -> UUID:
        """Return a UUIDv7: unique, and sortable by the time it was made."""
        ...
