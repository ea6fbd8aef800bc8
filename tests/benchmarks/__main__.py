"""Measure the solver beside the baseline on the same input: `make bench`."""

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from services.optimizer.domain.columns.solve import solve_fleet
from services.optimizer.domain.columns.warm_up import warm_up
from tests.benchmarks.first_fit import first_fit
from tests.benchmarks.workloads import ALLOCATABLE, DATA, ON_DEMAND, OPENB, Workload, workloads

HEADER = (
    "| workload | shapes | lower bound $/h | cost $/h | gap | target | seconds (CPU) | target | nodes "
    "| first-fit $/h (nodes) | first-fit / ours | peak MB |"
)


def main() -> int:
    """Print one row a workload."""
    missing = [path.name for path in (ON_DEMAND, ALLOCATABLE, OPENB) if not path.exists()]
    if missing:
        print(f"Nothing is measured: {DATA.name} (or SPOT_DATA_DIR) has no {', '.join(missing)}.")  # noqa: T201
        return 0
    began = time.perf_counter()
    warm_up()
    print(f"{_machine()}; compiling or loading kernels took {time.perf_counter() - began:.1f} s\n")  # noqa: T201
    print(HEADER)  # noqa: T201
    print("|" + "---|" * 12)  # noqa: T201
    for workload in workloads():
        print(_row(workload), flush=True)  # noqa: T201
    print(flush=True)  # noqa: T201
    # In processes of their own: what the solver holds is not pricing's memory.
    code = 0
    for module in ("tests.benchmarks.pricing_ingest", "tests.benchmarks.pricing_serving"):
        code |= subprocess.run([sys.executable, "-m", module], check=False).returncode
        print(flush=True)  # noqa: T201
    return code


def _row(workload: Workload) -> str:
    began, cpu_began = time.perf_counter(), time.process_time()
    fleet = solve_fleet(workload.problem)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if fleet.unplaced.any():
        raise ValueError(f"{workload.name}: {int(fleet.unplaced.sum())} pods are not placed")
    baseline, baseline_nodes = first_fit(workload.problem)
    return (
        f"| {workload.name} | {len(workload.problem.counts)} | {fleet.lower_bound_micro_usd / 1e6:.2f} "
        f"| {fleet.micro_usd / 1e6:.2f} | {fleet.gap_ratio:.2%} | {workload.gap_target:.1%} "
        f"| {seconds:.2f} ({cpu_seconds:.2f}) | {workload.seconds_target:g} | {len(fleet.nodes)} "
        f"| {baseline / 1e6:.2f} ({baseline_nodes}) | {baseline / fleet.micro_usd:.2f} | {peak} |"
    )


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    names = {line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line}
    model = ", ".join(sorted(names)) or platform.processor()
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
