"""Resource lists, and what of its containers' requests a pod really takes.

The sum is kube-scheduler's (resource.PodRequests, v1.34): containers and sidecars run
together; init containers run before them one by one, each beside the sidecars started so far.
"""

from collections.abc import Callable, Mapping

from shared.kernel.kubernetes.errors import KubernetesObjectError
from shared.kernel.kubernetes.fields import Fields
from shared.kernel.kubernetes.quantities import cpu_millicores, memory_bytes
from shared.kernel.resources import Resources

Amounts = dict[str, int]
"""By resource name; cpu in millicores, the rest in ones."""

POD_LEVEL_PREFIXES = ("hugepages-",)
POD_LEVEL = frozenset({"cpu", "memory"})


def parse_amounts(owner: Fields, name: str, what: str) -> Amounts:
    """Read a resource list; `what` says in errors what its entries are: "request", "limit"."""
    amounts: Amounts = {}
    listed = owner.child(name)
    for resource in listed.value:
        text = listed.amount_text(resource)
        if text is None:
            continue
        read: Callable[[str], int] = cpu_millicores if resource == "cpu" else memory_bytes
        try:
            amount = read(text)
        except ValueError as error:
            raise KubernetesObjectError(f"{owner.owner}: {resource} {what} {error}") from error
        if amount < 0:
            raise KubernetesObjectError(f'{owner.owner}: {resource} {what} "{text}" is negative')
        amounts[resource] = amount
    return amounts


def to_resources(amounts: Mapping[str, int]) -> Resources:
    """Give the vector; what is zero need not be mentioned."""
    extended = {
        name: amount
        for name, amount in sorted(amounts.items())
        if amount and name not in ("cpu", "memory", "ephemeral-storage", "pods")
    }
    return Resources(
        amounts.get("cpu", 0), amounts.get("memory", 0), amounts.get("ephemeral-storage", 0), extended
    )


def effective_requests(spec: Fields, status: Fields) -> Resources:
    """Give what a pod takes from its node."""
    total = _over_containers(spec, lambda container: _container_requests(container, status))
    pod_level = spec.child("resources")
    asked = parse_amounts(pod_level, "requests", "request")
    for name, amount in parse_amounts(pod_level, "limits", "limit").items():
        if name not in asked and name not in total:
            asked[name] = amount
    total.update((name, amount) for name, amount in asked.items() if _is_pod_level(name))
    _add(total, parse_amounts(spec, "overhead", "overhead"))
    return to_resources(total)


def effective_limits(spec: Fields) -> Resources:
    """Give what a pod may use at most; a resource without any limit is left at zero."""
    total = _over_containers(spec, lambda container: _resource_list(container, "limits", "limit"))
    asked = parse_amounts(spec.child("resources"), "limits", "limit")
    total.update((name, amount) for name, amount in asked.items() if _is_pod_level(name))
    return to_resources(total)


def is_sidecar(container: Fields) -> bool:
    """Whether an init container keeps running beside the pod's containers."""
    return container.text("restartPolicy") == "Always"


def _over_containers(spec: Fields, amounts_of: Callable[[Fields], Mapping[str, int]]) -> Amounts:
    total: Amounts = {}
    for container in spec.children("containers"):
        _add(total, amounts_of(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.children("initContainers"):
        if is_sidecar(container):
            amounts = amounts_of(container)
            _add(total, amounts)
            _add(sidecars, amounts)
        else:
            running = dict(amounts_of(container))
            _add(running, sidecars)
            _raise_to(peak, running)
    _raise_to(total, peak)
    return total


def _container_requests(container: Fields, status: Fields) -> Mapping[str, int]:
    asked = _resource_list(container, "requests", "request")
    for name, amount in _resource_list(container, "limits", "limit").items():
        asked.setdefault(name, amount)  # as the API server defaults them
    # A pod that is being resized in place holds the larger of what it has and what it wants; what its node can
    # never give it is not held against that node.
    held: Amounts = {}
    for statuses in ("containerStatuses", "initContainerStatuses"):
        for item in status.children(statuses):
            if item.value.get("name") == container.value.get("name"):
                _raise_to(held, parse_amounts(item, "allocatedResources", "allocated resource"))
                _raise_to(held, parse_amounts(item.child("resources"), "requests", "request"))
    if held and _is_resize_infeasible(status):
        return held
    _raise_to(asked, held)
    return asked


def _is_resize_infeasible(status: Fields) -> bool:
    return any(
        item.text("type") == "PodResizePending" and item.text("reason") == "Infeasible"
        for item in status.children("conditions")
    )


def _resource_list(container: Fields, name: str, what: str) -> Amounts:
    return parse_amounts(container.child("resources"), name, what)


def _is_pod_level(name: str) -> bool:
    return name in POD_LEVEL or name.startswith(POD_LEVEL_PREFIXES)


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, 0), amount)
