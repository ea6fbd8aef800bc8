"""A watch: what is followed, and when the agent must own up that it sees nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from agent.adapters.kube_client import Json
from agent.adapters.kube_watch import BLIND_AFTER_SECONDS, KubeWatch
from agent.domain.mirror import Mirror, WatchedKind
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError

pytestmark = pytest.mark.looptime


class Api:
    """Lists nothing; a watch stays open until the API goes away."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.error: Exception | None = None

    async def get(self, path: str, **_query: str) -> Json:
        if self.error is not None:
            raise self.error
        return {"metadata": {"resourceVersion": "7"}, "items": []}

    async def lines(
        self, path: str, *, opened: Callable[[], None], **_query: str
    ) -> AsyncGenerator[Json, None]:
        if self.error is not None:
            raise self.error
        opened()
        await self.gone.wait()
        raise KubernetesUnavailableError(f"WATCH {path}: the connection broke")
        yield {}

    def go_away(self, error: Exception) -> None:
        self.error = error
        self.gone.set()

    def come_back(self) -> None:
        self.error = None
        self.gone.clear()


def a_watch(api: Any) -> KubeWatch:
    return KubeWatch(client=api, mirror=Mirror(), observe=lambda *_: None, report=lambda *_: None)


@pytest.mark.parametrize(
    "error",
    [KubernetesUnavailableError("503"), KubernetesRefusedError("403", status=403)],
    ids=["away", "refused"],
)
async def test_an_agent_that_cannot_follow_the_pods_is_blind_until_it_can(error: Exception) -> None:
    api = Api()
    watch = a_watch(api)
    following = asyncio.create_task(watch.follow(WatchedKind.POD, asyncio.Event()))
    await asyncio.sleep(60)
    assert not watch.is_blind
    api.go_away(error)
    await asyncio.sleep(BLIND_AFTER_SECONDS / 2)
    assert not watch.is_blind, "a watch that breaks is usually back at once"
    await asyncio.sleep(BLIND_AFTER_SECONDS)
    assert watch.is_blind
    api.come_back()
    await asyncio.sleep(61)
    assert not watch.is_blind
    following.cancel()


async def test_a_kind_that_makes_the_picture_only_poorer_blinds_nobody() -> None:
    api = Api()
    watch = a_watch(api)
    following = asyncio.create_task(watch.follow(WatchedKind.JOB, asyncio.Event()))
    await asyncio.sleep(1)
    api.go_away(KubernetesUnavailableError("503"))
    await asyncio.sleep(60)
    assert not watch.is_blind
    following.cancel()
