"""Which instance types a policy lets anybody launch: the optimizer plans by it, the gateway's autopilot holds plans
against it, and the executor replaces interrupted nodes by it.
"""

from collections.abc import Collection, Iterator
from typing import Protocol

from shared.kernel.capacity import InstanceType

GIB = 1024**3
OLDEST_GENERATION = 5
"""Counts as current whatever EC2 says: the first generation that is Nitro throughout."""


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
    return next(objections(instance_type, filters), None)


def objections(instance_type: InstanceType, filters: TypeFilters) -> Iterator[str]:
    """Give every filter that forbids a type, in the order in which they are asked."""
    if instance_type.name in filters.excluded_instance_types:
        yield f"the policy excludes {instance_type.name}"
    if filters.instance_families:
        if instance_type.family not in filters.instance_families:
            yield f"the policy does not list family {instance_type.family}"
    elif not _is_current(instance_type):
        yield f"{instance_type.family} is of a previous generation"
    if filters.instance_sizes and instance_type.size not in filters.instance_sizes:
        yield f"the policy does not list size {instance_type.size}"
    if instance_type.gpus and not filters.allow_gpu:
        yield "the policy does not allow types with GPUs"
    if instance_type.gpus and filters.gpu_families and instance_type.family not in filters.gpu_families:
        yield f"the policy does not list {instance_type.family} among the families with GPUs"
    if not any(architecture in filters.architectures for architecture in instance_type.architectures):
        yield f"the policy does not allow architecture {'/'.join(instance_type.architectures) or 'unknown'}"
    if instance_type.is_burstable and not filters.allow_burstable:
        yield "the policy does not allow burstable types"
    if instance_type.is_bare_metal and not filters.allow_bare_metal:
        yield "the policy does not allow bare metal"
    yield from _size_objections(instance_type, filters)


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
