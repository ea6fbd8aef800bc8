"""An SQS queue in a process of its own, into which interruptions come at a steady rate.

So that a measurement is of those who read the queue: writing a message costs them nothing, and serving it little.
"""

import asyncio
import itertools
import json
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

START_SECONDS = 60
LARGEST_BATCH = 10
CONTENT_TYPE = "application/x-amz-json-1.0"


@dataclass(frozen=True)
class EventQueue:
    """The far end of the pipe."""

    url: str
    pipe: "Connection"

    def environment(self) -> dict[str, str]:
        """What makes boto3's clients come here."""
        return {
            "AWS_ENDPOINT_URL": self.url.rpartition("/")[0],
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fill(self, bodies: Sequence[str], *, per_second: float) -> None:
        """Let these come from now on, one after the other."""
        self.pipe.send((list(bodies), per_second))

    async def sent_at(self) -> list[float]:
        """Wait for the last to be there; give when each was, on the clock of `time.perf_counter`."""
        found: list[float] = await asyncio.to_thread(self.pipe.recv)
        return found


@contextmanager
def served() -> Iterator[EventQueue]:
    """Serve it from another process."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        if not here.poll(START_SECONDS):
            raise TimeoutError("the queue does not start")
        yield EventQueue(here.recv(), here)
    finally:
        process.terminate()
        process.join()


class _Queue:
    """Messages that wait; one that was received stays away, since nobody here forgets to delete it."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._came = asyncio.Event()
        self._numbers = itertools.count()

    def put(self, body: str) -> None:
        self._waiting.append(body)
        self._came.set()

    async def receive(self, *, at_most: int, wait_seconds: float) -> list[dict[str, str]]:
        if not self._waiting:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), wait_seconds)
            except TimeoutError:
                return []
        number = [next(self._numbers) for _ in range(min(at_most, len(self._waiting)))]
        return [
            {"MessageId": str(n), "ReceiptHandle": f"handle-{n}", "Body": self._waiting.popleft()}
            for n in number
        ]


def _serve(pipe: "Connection") -> None:
    async def answer(request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].rpartition(".")[2]
        asked = json.loads(await request.read())
        if action == "ReceiveMessage":
            messages = await queue.receive(
                at_most=asked["MaxNumberOfMessages"], wait_seconds=asked["WaitTimeSeconds"]
            )
            body: dict[str, Any] = {"Messages": messages} if messages else {}
        elif action == "DeleteMessageBatch":
            body = {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}
        else:
            return web.Response(status=400, text=f"no {action} here")
        return web.Response(body=json.dumps(body).encode(), content_type=CONTENT_TYPE)

    async def fill() -> None:
        while True:
            bodies, per_second = await asyncio.to_thread(pipe.recv)
            began, sent = time.perf_counter(), []
            for at, body in enumerate(bodies):
                await asyncio.sleep(max(began + at / per_second - time.perf_counter(), 0))
                sent.append(time.perf_counter())
                queue.put(body)
            pipe.send(sent)

    async def run() -> None:
        app = web.Application()
        app.router.add_route("POST", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}/queue")
        await fill()

    queue = _Queue()
    asyncio.run(run())
