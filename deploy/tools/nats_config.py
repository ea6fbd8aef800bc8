"""Write nats-server's configuration for containers: one account, a user per service, the gateway's auth callout.

Permissions come from the subject table, so the file is made by the same code that will connect, at every start, and
is not committed. Passwords come from the environment: <SERVICE>_NATS_PASSWORD, NATS_ADMIN_PASSWORD, and
GATEWAY_CALLOUT_ISSUER_SEED, of which only the public half is written.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import nkeys

from deploy.local import nats_server
from deploy.local.schemas import SERVICES

PORT = 4222
MONITOR_PORT = 8222
STORE = Path("/data/jetstream")


class MissingVariableError(Exception):
    """A variable is empty; the message names it."""


def config(environment: Mapping[str, str], *, host: str = "0.0.0.0", store: Path = STORE) -> str:
    """Give the configuration.

    Raises:
        MissingVariableError: a password or the seed is not set.
    """
    variables = {service: f"{service.upper()}_NATS_PASSWORD" for service in SERVICES}
    variables[nats_server.ADMIN] = "NATS_ADMIN_PASSWORD"
    seed = "GATEWAY_CALLOUT_ISSUER_SEED"
    missing = [name for name in (*variables.values(), seed) if not environment.get(name)]
    if missing:
        raise MissingVariableError(
            f"Set {', '.join(missing)}; python -m deploy.tools.docker_env writes them."
        )
    issuer = nkeys.from_seed(bytearray(environment[seed].encode())).public_key.decode()
    text = nats_server.config_text(
        port=PORT,
        store=store,
        passwords={user: environment[name] for user, name in variables.items()},
        services=SERVICES,
        callout_issuer=issuer,
    )
    # The stack of one machine listens for itself only; a container listens for its network, and is asked how it is.
    listening = {"listen": f"{host}:{PORT}", "http": f"127.0.0.1:{MONITOR_PORT}"}
    return json.dumps({**json.loads(text), **listening}, indent=2)


def main(argv: list[str]) -> int:
    """Write the file, readable by its group and owner only; 2: a variable is missing."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.nats_config", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="where to write it")
    output: Path = parser.parse_args(argv).output
    try:
        text = config(os.environ)
    except MissingVariableError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    output.touch(mode=0o640)
    output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
