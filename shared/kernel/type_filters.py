"""Which instance types a policy lets anybody launch: the optimizer plans by it, the gateway's autopilot holds plans
against it, and the executor replaces interrupted nodes by it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from shared.kernel.capacity import InstanceType

GIB = 1024**3
OLDEST_GENERATION = 5
"""Counts as current whatever EC2 says: the first generation that is Nitro throughout."""


@dataclass(frozen=True, slots=True)
class Objection:
    """What one filter has against a type or an offer."""

    text: str
    """Of this one."""
    of_many: str
    """The same of all that the filter forbids: what they are counted under."""

    @classmethod
    def alike(cls, text: str) -> "Objection":
        """Say the same of one and of many."""
        return cls(text, text)


class TypeFilters(Protocol):
    """The fields of a policy that are about types; an empty collection and None limit nothing."""

    @property
    def instance_families(self) -> Collection[str]:
        """Families allowed, of whatever generation; empty: every current one."""

    @property
    def instance_sizes(self) -> Collection[str]:
        """Sizes allowed."""

    @property
    def excluded_instance_types(self) -> Collection[str]:
        """Names."""

    @property
    def architectures(self) -> Collection[str]:
        """In Kubernetes' words; here empty allows none."""

    @property
    def allow_burstable(self) -> bool:
        """T families."""

    @property
    def allow_bare_metal(self) -> bool:
        """Sizes without a hypervisor."""

    @property
    def allow_gpu(self) -> bool:
        """Types that have GPUs."""

    @property
    def gpu_families(self) -> Collection[str]:
        """Families allowed among those."""

    @property
    def min_vcpus(self) -> int | None:
        """Of one instance, as the other three."""

    @property
    def max_vcpus(self) -> int | None:
        """The number itself is allowed."""

    @property
    def min_memory_bytes(self) -> int | None:
        """What EC2 says that the type has."""

    @property
    def max_memory_bytes(self) -> int | None:
        """The number itself is allowed."""


def refusal(instance_type: InstanceType, filters: TypeFilters) -> str | None:
    """Give the first filter that forbids a type, wherever and however it is bought; None when it passes all."""
    return next((found.text for found in objections(instance_type, filters)), None)


def objections(instance_type: InstanceType, filters: TypeFilters) -> Iterator[Objection]:
    """Give every filter that forbids a type, in the order in which they are asked."""
    family = instance_type.family
    if instance_type.name in filters.excluded_instance_types:
        yield Objection(f"the policy excludes {instance_type.name}", "the policy excludes their types")
    if filters.instance_families:
        if family not in filters.instance_families:
            yield Objection(
                f"the policy does not list family {family}", "the policy does not list their families"
            )
    elif not _is_current(instance_type):
        yield Objection(f"{family} is of a previous generation", "they are of a previous generation")
    if filters.instance_sizes and instance_type.size not in filters.instance_sizes:
        yield Objection(
            f"the policy does not list size {instance_type.size}", "the policy does not list their sizes"
        )
    if instance_type.gpus and not filters.allow_gpu:
        yield Objection.alike("the policy does not allow types with GPUs")
    if instance_type.gpus and filters.gpu_families and family not in filters.gpu_families:
        among = "among the families with GPUs"
        yield Objection(
            f"the policy does not list {family} {among}", f"the policy does not list theirs {among}"
        )
    if not any(architecture in filters.architectures for architecture in instance_type.architectures):
        kind = "/".join(instance_type.architectures) or "unknown"
        yield Objection.alike(f"the policy does not allow architecture {kind}")
    if instance_type.is_burstable and not filters.allow_burstable:
        yield Objection.alike("the policy does not allow burstable types")
    if instance_type.is_bare_metal and not filters.allow_bare_metal:
        yield Objection.alike("the policy does not allow bare metal")
    yield from map(Objection.alike, _size_objections(instance_type, filters))


def _size_objections(instance_type: InstanceType, filters: TypeFilters) -> Iterator[str]:
    if filters.min_vcpus is not None and instance_type.vcpus < filters.min_vcpus:
        yield f"the policy asks for at least {filters.min_vcpus} vCPU"
    if filters.max_vcpus is not None and instance_type.vcpus > filters.max_vcpus:
        yield f"the policy allows at most {filters.max_vcpus} vCPU"
    if filters.min_memory_bytes is not None and instance_type.memory_bytes < filters.min_memory_bytes:
        yield f"the policy asks for at least {filters.min_memory_bytes / GIB:.4g} GiB of memory"
    if filters.max_memory_bytes is not None and instance_type.memory_bytes > filters.max_memory_bytes:
        yield f"the policy allows at most {filters.max_memory_bytes / GIB:.4g} GiB of memory"


def _is_current(instance_type: InstanceType) -> bool:
    # EC2 calls m5 and its like previous already, while they are sold everywhere and often the cheapest.
    generation = next((int(c) for c in instance_type.family if c.isdigit()), 0)
    return instance_type.is_current_generation or generation >= OLDEST_GENERATION
