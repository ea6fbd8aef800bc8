"""Write `.env` for docker-compose.yml: the commented example, with a fresh secret wherever one is empty.

A file that is there is never touched: what its keys encrypted could not be read again.
"""

import argparse
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nkeys
from nacl.signing import SigningKey

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "docker" / ".env.example"


def _account_seed() -> str:
    return str(nkeys.encode_seed(bytes(SigningKey.generate()), nkeys.PREFIX_BYTE_ACCOUNT).decode())


MAKERS: Mapping[str, Callable[[], str]] = {
    "_PASSWORD": lambda: secrets.token_hex(24),
    "_JWT_SECRET": lambda: secrets.token_hex(32),
    "_SECRETS_KEY": lambda: secrets.token_hex(32),
    "_ISSUER_SEED": _account_seed,
}
"""How a secret is made, by the end of its name."""


def filled(example: str) -> str:
    """Give the example with its secrets filled in; what has a value or is no secret of ours stays."""
    lines: list[str] = []
    for line in example.splitlines():
        name, equals, value = line.partition("=")
        made = next((make() for end, make in MAKERS.items() if name.endswith(end)), "")
        is_empty = bool(equals) and not value and not line.startswith("#")
        lines.append(f"{line}{made}" if is_empty else line)
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Write the file; 2: there is one already."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.docker_env", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / ".env")
    output: Path = parser.parse_args(argv).output
    try:
        output.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        sys.stderr.write(f"{output} is there already and is left alone; delete it yourself to begin anew.\n")
        return 2
    output.write_text(filled(EXAMPLE.read_text()))
    print(f"{output} written; keep it secret, and keep it.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
