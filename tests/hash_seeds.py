"""The same code under several hash seeds: what it prints must not depend on how a process hashes."""

import os
import subprocess
import sys
from pathlib import Path

SEEDS = ("1", "2")


def printed(code: str) -> list[str]:
    """Run code in a new process for each seed, from the root of the repository; give what each printed."""
    return [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in SEEDS
    ]
