"""What is free on one node, as plain numbers that change with every pod."""

from shared.kernel.resources import Resources
from shared.kernel.scheduling import ports, volumes
from shared.kernel.scheduling.facts import Shape
from shared.kernel.workload import HostPort, Node, Pod


class NodeState:
    """A node, the pods on it, and what they leave."""

    __slots__ = (
        "_claims",
        "_ephemeral_storage_bytes",
        "_extended",
        "_ports",
        "cpu_millicores",
        "kind",
        "memory_bytes",
        "node",
        "pods",
    )

    def __init__(self, node: Node, kind: int) -> None:
        self.node = node
        self.kind = kind
        """The number that Facts gave to nodes of its kind."""
        self.pods: dict[str, Pod] = {}
        self.cpu_millicores = node.allocatable.cpu_millicores
        self.memory_bytes = node.allocatable.memory_bytes
        self._ephemeral_storage_bytes = node.allocatable.ephemeral_storage_bytes
        self._extended = dict(node.allocatable.extended)
        self._ports: list[HostPort] = []
        self._claims: dict[str, dict[str, int]] = {}

    @property
    def free(self) -> Resources:
        """What is not requested yet; negative where pods were forced onto the node."""
        return Resources(
            self.cpu_millicores, self.memory_bytes, self._ephemeral_storage_bytes, dict(self._extended)
        )

    @property
    def free_pods(self) -> int:
        """How many more pods the kubelet takes."""
        return self.node.max_pods - len(self.pods)

    def copy(self) -> "NodeState":
        """Give an independent copy."""
        twin = NodeState.__new__(NodeState)
        twin.node = self.node
        twin.kind = self.kind
        twin.pods = self.pods.copy()
        twin.cpu_millicores = self.cpu_millicores
        twin.memory_bytes = self.memory_bytes
        twin._ephemeral_storage_bytes = self._ephemeral_storage_bytes
        twin._extended = self._extended.copy()
        twin._ports = self._ports.copy()
        twin._claims = {driver: claims.copy() for driver, claims in self._claims.items()}
        return twin

    def take(self, pod: Pod, shape: Shape) -> None:
        """Put a pod on the node."""
        self.pods[pod.key] = pod
        self._change(pod.requests, -1)
        self._ports.extend(pod.host_ports)
        for driver, claims in shape.attached:
            held = self._claims.setdefault(driver, {})
            for claim in claims:
                held[claim] = held.get(claim, 0) + 1

    def release(self, pod: Pod, shape: Shape) -> None:
        """Take a pod off the node."""
        del self.pods[pod.key]
        self._change(pod.requests, 1)
        for port in pod.host_ports:
            self._ports.remove(port)
        for driver, claims in shape.attached:
            held = self._claims[driver]
            for claim in claims:
                held[claim] -= 1
                if not held[claim]:
                    del held[claim]

    def has_room(self, asked: Resources) -> bool:
        """Whether requests and the number of pods fit; what is not asked for is not compared."""
        return (
            len(self.pods) < self.node.max_pods
            and (asked.cpu_millicores <= self.cpu_millicores or not asked.cpu_millicores)
            and (asked.memory_bytes <= self.memory_bytes or not asked.memory_bytes)
            and (
                asked.ephemeral_storage_bytes <= self._ephemeral_storage_bytes
                or not asked.ephemeral_storage_bytes
            )
            and (
                not asked.extended
                or all(n <= self._extended.get(name, 0) for name, n in asked.extended.items() if n)
            )
        )

    def shortages(self, asked: Resources) -> tuple[str, ...]:
        """Say what is missing for these requests."""
        reasons = ["Too many pods"] if self.free_pods < 1 else []
        named = {
            "cpu": (asked.cpu_millicores, self.cpu_millicores),
            "memory": (asked.memory_bytes, self.memory_bytes),
            "ephemeral-storage": (asked.ephemeral_storage_bytes, self._ephemeral_storage_bytes),
        } | {name: (n, self._extended.get(name, 0)) for name, n in asked.extended.items()}
        reasons += [f"Insufficient {name}" for name, (n, free) in named.items() if n and n > free]
        return tuple(reasons)

    def ports_clash(self, pod: Pod) -> bool:
        """Whether a host port of the pod is taken."""
        return bool(pod.host_ports) and ports.any_clash(pod.host_ports, self._ports)

    def volumes_exceeded(self, shape: Shape) -> bool:
        """Whether the pod's volumes are more than the node can still attach; those that are there count once."""
        for driver, claims in shape.attached:
            limit = volumes.limit_of(self.node, driver)
            if limit is None:
                continue
            held = self._claims.get(driver, {})
            new = sum(claim not in held for claim in claims)
            if new and len(held) + new > limit:
                return True
        return False

    def _change(self, asked: Resources, sign: int) -> None:
        self.cpu_millicores += sign * asked.cpu_millicores
        self.memory_bytes += sign * asked.memory_bytes
        self._ephemeral_storage_bytes += sign * asked.ephemeral_storage_bytes
        for name, amount in asked.extended.items():
            self._extended[name] = self._extended.get(name, 0) + sign * amount
