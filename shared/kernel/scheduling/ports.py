"""Ports taken on the node itself."""

from collections.abc import Iterable

from shared.kernel.workload import HostPort

ANY_ADDRESS = "0.0.0.0"


def clash(wanted: HostPort, taken: HostPort) -> bool:
    """Whether two host ports exclude each other; the wildcard address meets every address."""
    return (
        wanted.port == taken.port
        and wanted.protocol == taken.protocol
        and (wanted.host_ip == taken.host_ip or ANY_ADDRESS in (wanted.host_ip, taken.host_ip))
    )


def any_clash(wanted: Iterable[HostPort], taken: Iterable[HostPort]) -> bool:
    """Whether any wanted port is taken."""
    held = tuple(taken)
    return any(clash(port, other) for port in wanted for other in held)
