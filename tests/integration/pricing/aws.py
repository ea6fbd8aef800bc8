"""The sandbox's AWS in a thread with a loop of its own, so that one world serves tests that each have theirs."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from deploy.sandbox.aws.world import AwsConfig, AwsWorld

T = TypeVar("T")


class World:
    """Calls into the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: AwsWorld) -> None:
        self._loop = loop
        self.world = world

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the world's thread and wait for the result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def environment(self) -> dict[str, str]:
        """What makes boto3's clients come here."""
        key = self.world.seed.platform_credentials
        return {
            "AWS_ENDPOINT_URL": self.world.url,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_DEFAULT_REGION": self.world.seed.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }


@contextmanager
def running(config: AwsConfig) -> Iterator[World]:
    """Start a world, and stop it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="aws", daemon=True)
    thread.start()

    def do(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        world = do(AwsWorld.start(config))
        yield World(loop, world)
        do(world.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
