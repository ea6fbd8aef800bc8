"""`python -m deploy.sandbox --config FILE`: the whole sandbox in one process, until it is told to stop."""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from deploy.sandbox.config import SandboxConfig, SandboxConfigError, read_config
from deploy.sandbox.control import Control
from deploy.sandbox.market.errors import MarketDataError
from deploy.sandbox.world import running_world

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process with its parent; elsewhere than on Linux nothing can."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # It ended before the kernel was asked.
        os.kill(os.getpid(), signal.SIGTERM)


async def run(config: SandboxConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    parent = os.getppid()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    die_with_parent(parent)
    summary = config.state_dir / "sandbox.json"
    summary.unlink(missing_ok=True)
    async with running_world(config) as world:
        control = Control(world)
        try:
            world.write_summary(await control.start(config.control_port))
            structlog.get_logger(__name__).info("sandbox_ready", summary=str(summary))
            await stop.wait()
        finally:
            await control.stop()
            summary.unlink(missing_ok=True)


def main() -> int:
    """Run the command; 2 is bad input."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sandbox", description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="a JSON file with the fields of SandboxConfig"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        config = read_config(arguments.config)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(config))
    except (SandboxConfigError, MarketDataError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
