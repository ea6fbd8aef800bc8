"""Children that are started again when they end unasked."""

import asyncio
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.local import processes
from deploy.local.errors import StackError

LOOK_PERIOD_SECONDS = 0.1
PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a start after a crash; the last is repeated. A child that lives for a minute is forgiven."""

FORGIVEN_AFTER_SECONDS = 60.0

Spawn = Callable[[], "subprocess.Popen[bytes]"]
Told = Callable[[str, str], None]


@dataclass
class Child:
    """A process to be kept alive."""

    name: str
    spawn: Spawn
    stop_signal: signal.Signals = signal.SIGTERM
    process: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    _task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def start(self, told: Told) -> None:
        """Start it, and keep it alive from now on."""
        if self.process is None:
            self.process = self.spawn()
        self._task = asyncio.create_task(self._keep(told), name=f"keep-{self.name}")

    async def stop(self) -> None:
        """Let it end, and leave it so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.process is not None:
            await asyncio.to_thread(processes.stop, self.process, sign=self.stop_signal)

    async def _keep(self, told: Told) -> None:
        clock = asyncio.get_running_loop().time
        crashes = 0
        began = clock()
        while True:
            await asyncio.sleep(LOOK_PERIOD_SECONDS)
            assert self.process is not None
            code = self.process.poll()
            if code is None:
                continue
            crashes = 0 if clock() - began > FORGIVEN_AFTER_SECONDS else crashes + 1
            self.restarts += 1
            told(self.name, f"ended with {_reason(code)}; starting it again")
            await asyncio.sleep(PAUSES_SECONDS[min(crashes, len(PAUSES_SECONDS)) - 1] if crashes else 0)
            began = clock()
            try:
                self.process = self.spawn()
            except StackError as error:  # a full disk may have room again later
                told(self.name, f"cannot be started: {error}")


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
