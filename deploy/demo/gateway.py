"""The gateway's API, as any client's tool would call it."""

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.demo.errors import DemoError

POLL_SECONDS = 0.5
TIMEOUT = aiohttp.ClientTimeout(total=30)


class Gateway:
    """One signed-up user of one organization."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = aiohttp.ClientSession(timeout=TIMEOUT)
        self._refresh_token = ""

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self._http.close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call, patiently: a gateway that restarts, or another service behind it, answers again soon.

        Raises:
            DemoError: it says no, with its own sentence.
        """
        for attempt in range(120):
            try:
                async with self._http.request(method, f"{self.url}/api/v1{path}", json=body) as answer:
                    given = await answer.json(content_type=None) if answer.content_length != 0 else None
                    if answer.status == 401 and self._refresh_token and attempt < 3:
                        await self._refresh()
                        continue
                    if answer.status < 400:
                        return given
                    if answer.status not in (502, 503, 504):
                        raise DemoError(
                            f"{method} {path}: {answer.status}: {(given or {}).get('detail', given)}"
                        )
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(POLL_SECONDS)
        raise DemoError(f"{method} {path}: the gateway did not answer for a minute.")

    async def sign_up(self, *, email: str, password: str, organization: str) -> None:
        """Become the owner of a new organization."""
        body = {"email": email, "password": password, "organization": organization}
        self._take(await self.call("POST", "/auth/sign-up", body))

    async def _refresh(self) -> None:
        body = {"refresh_token": self._refresh_token}
        self._refresh_token = ""
        self._take(await self.call("POST", "/auth/refresh", body))

    def _take(self, session: dict[str, Any]) -> None:
        self._refresh_token = session["refresh_token"]
        self._http.headers["Authorization"] = f"Bearer {session['access_token']}"
