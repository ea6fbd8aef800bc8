"""What the cluster needs of EC2: who runs, what a type has, and being told when that changes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol


class Facts(Protocol):
    """What an instance type has."""

    @property
    def name(self) -> str: ...
    @property
    def vcpus(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def gpus(self) -> int: ...
    @property
    def gpu_resource(self) -> str | None: ...
    @property
    def max_pods(self) -> int: ...


class Instance(Protocol):
    """One EC2 instance."""

    @property
    def id(self) -> str: ...
    @property
    def instance_type(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def zone_id(self) -> str: ...
    @property
    def capacity_type(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def private_ip(self) -> str: ...
    @property
    def state(self) -> str: ...


class Instances(Protocol):
    """The part of the AWS world that a cluster sees."""

    def instances(self) -> Iterable[Instance]:
        """Return every instance that is known."""
        ...

    def facts(self, instance_type: str) -> Facts | None:
        """Return what a type has."""
        ...

    def subscribe(self, callback: Callable[[Instance, str], None]) -> None:
        """Call back with "launched", "terminating" and "terminated"."""
        ...
