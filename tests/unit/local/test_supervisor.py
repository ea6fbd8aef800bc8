"""Children that end are started again, also when that is impossible for a while."""

import subprocess
import sys

from deploy.local import processes
from deploy.local.errors import StackError
from deploy.local.supervisor import Child
from tests.waiting import until


class Spawner:
    """Starts processes that end at once, fails once, then starts one that stays."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> "subprocess.Popen[bytes]":
        self.calls += 1
        if self.calls == 2:
            raise StackError("the disk is full.")
        code = "import sys; sys.exit(3)" if self.calls == 1 else "import time; time.sleep(60)"
        return subprocess.Popen([sys.executable, "-S", "-c", code])


async def test_it_tries_again_until_it_runs() -> None:
    told: list[str] = []
    spawner = Spawner()
    child = Child("part", spawner)
    child.start(lambda name, text: told.append(f"{name} {text}"))
    await until(lambda: spawner.calls == 3)
    assert child.process is not None
    assert child.process.poll() is None
    await child.stop()
    assert child.process.poll() is not None
    assert told[:2] == [
        "part ended with exit code 3; starting it again",
        "part cannot be started: the disk is full.",
    ]
    processes.stop(child.process)  # once more does no harm
