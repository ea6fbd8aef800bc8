"""Free ports, from below the range that the kernel gives to outgoing connections.

A port of that range may be taken by any connection between our look and the server's own bind.
"""

import random
import socket

RANGE = range(20_000, 32_000)
TRIES = 200


def free_port() -> int:
    """Give a port that was free a moment ago.

    Raises:
        OSError: none was found.
    """
    for port in random.sample(RANGE, TRIES):
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port between {RANGE.start} and {RANGE.stop}")
