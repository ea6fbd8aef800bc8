"""Measure the solver beside the baselines on the same input: `make bench`."""

import os
import platform
import sys
import time
from pathlib import Path

from services.optimizer.domain.warm_up import warm_up
from tests.benchmarks.market import ALLOCATABLE, DATA, ON_DEMAND, SPOT, market
from tests.benchmarks.rows import HEADER, rows
from tests.benchmarks.workloads import OPENB


def main() -> int:
    """Print one row a workload."""
    missing = [path.name for path in (ON_DEMAND, ALLOCATABLE, OPENB, *SPOT) if not path.exists()]
    if missing:
        print(f"Nothing is measured: {DATA.name} (or SPOT_DATA_DIR) has no {', '.join(missing)}.")  # noqa: T201
        return 0
    began = time.perf_counter()
    warm_up()
    print(f"{_machine()}; compiling or loading kernels took {time.perf_counter() - began:.1f} s")  # noqa: T201
    plain, with_gpus = market(), market(gpus=True)
    print(f"us-east-1: {plain}; where GPUs are asked for {with_gpus}\n")  # noqa: T201
    print(HEADER)  # noqa: T201
    for row in rows(plain, with_gpus):
        print(row, flush=True)  # noqa: T201
    return 0


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    names = {line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line}
    model = ", ".join(sorted(names)) or platform.processor()
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
