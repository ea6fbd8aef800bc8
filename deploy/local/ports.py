"""Free ports, from below the range that the kernel gives to outgoing connections.

A port of that range may be taken by any connection between our look and the server's own bind.
"""

import random
import socket

RANGE = range(20_000, 32_000)
TRIES = 200


def free_port(wanted: int = 0) -> int:
    """Give a port that was free a moment ago; the wanted one if it is.

    Raises:
        OSError: none was found.
    """
    if wanted and is_free(wanted):
        return wanted
    for port in random.sample(RANGE, TRIES):
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port between {RANGE.start} and {RANGE.stop}")


def is_free(port: int) -> bool:
    """Whether a server may listen there; connections of one that stopped a moment ago do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
