"""Amounts of what pods ask for and nodes have."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Resources:
    """A vector of amounts; never negative in an input, but a difference may be."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    ephemeral_storage_bytes: int = 0
    extended: Mapping[str, int] = field(default_factory=dict)
    """Whole devices by resource name, such as nvidia.com/gpu."""

    def __add__(self, other: "Resources") -> "Resources":
        names = self.extended.keys() | other.extended.keys()
        return Resources(
            self.cpu_millicores + other.cpu_millicores,
            self.memory_bytes + other.memory_bytes,
            self.ephemeral_storage_bytes + other.ephemeral_storage_bytes,
            {n: self.extended.get(n, 0) + other.extended.get(n, 0) for n in sorted(names)},
        )

    def __sub__(self, other: "Resources") -> "Resources":
        names = self.extended.keys() | other.extended.keys()
        return Resources(
            self.cpu_millicores - other.cpu_millicores,
            self.memory_bytes - other.memory_bytes,
            self.ephemeral_storage_bytes - other.ephemeral_storage_bytes,
            {n: self.extended.get(n, 0) - other.extended.get(n, 0) for n in sorted(names)},
        )

    def at_least(self, other: "Resources") -> "Resources":
        """Give the larger of each amount."""
        names = self.extended.keys() | other.extended.keys()
        return Resources(
            max(self.cpu_millicores, other.cpu_millicores),
            max(self.memory_bytes, other.memory_bytes),
            max(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes),
            {n: max(self.extended.get(n, 0), other.extended.get(n, 0)) for n in sorted(names)},
        )

    def fits_in(self, room: "Resources") -> bool:
        """Whether `room` holds all of this; a resource that is not asked for is not compared."""
        return (
            self.cpu_millicores <= max(room.cpu_millicores, 0)
            and self.memory_bytes <= max(room.memory_bytes, 0)
            and self.ephemeral_storage_bytes <= max(room.ephemeral_storage_bytes, 0)
            and all(n <= room.extended.get(name, 0) for name, n in self.extended.items() if n > 0)
        )
