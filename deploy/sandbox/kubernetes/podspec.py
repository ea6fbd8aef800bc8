"""What a pod asks for, read once when it appears."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.sandbox.kubernetes.kinds import Object
from deploy.sandbox.kubernetes.quantity import millis, whole


def amounts(given: Mapping[str, str] | None) -> Counter[str]:
    """Read a resource list: CPU in millicores, everything else whole."""
    return Counter({name: millis(v) if name == "cpu" else whole(v) for name, v in (given or {}).items()})


def requests_of(spec: Object) -> Counter[str]:
    """Sum what a pod reserves: containers and sidecars together, or the largest init container, plus overhead."""
    running: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        running.update(amounts((container.get("resources") or {}).get("requests")))
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        asked = amounts((container.get("resources") or {}).get("requests"))
        if container.get("restartPolicy") == "Always":
            sidecars.update(asked)
            peak |= sidecars
        else:
            peak |= sidecars + asked
    total = (running + sidecars) | peak
    for name, amount in amounts((spec.get("resources") or {}).get("requests")).items():
        total[name] = amount  # a pod-level request replaces the sum
    total.update(amounts(spec.get("overhead")))
    total["pods"] = 1
    return total


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that a pod occupies."""

    protocol: str
    address: str
    port: int

    def clashes(self, other: "HostPort") -> bool:
        """Whether both cannot be on one node."""
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        return "0.0.0.0" in {self.address, other.address} or self.address == other.address


def host_ports(spec: Object) -> frozenset[HostPort]:
    """Return the ports of the node that a pod occupies."""
    ports = set()
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") else 0)
            if number:
                ports.add(HostPort(port.get("protocol", "TCP"), port.get("hostIP") or "0.0.0.0", int(number)))
    return frozenset(ports)
