"""`spotopt up`, told to stop while it starts."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from deploy.cli import up
from deploy.local import stack
from deploy.local.home import Home


class Started:
    """A stack that remembers whether it was stopped."""

    stopped = False

    async def stop(self) -> None:
        self.stopped = True


async def test_a_start_that_loses_its_cancellation_is_stopped_once_it_is_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started()

    async def start(*_: object) -> Started:
        os.kill(os.getpid(), signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return started

    monkeypatch.setattr(stack, "start", start)
    async with asyncio.timeout(20):
        await up._stay_up(Home(tmp_path), stack.Options())
    assert started.stopped
