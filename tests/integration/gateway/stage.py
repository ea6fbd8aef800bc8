"""The gateway's API on a real database, with fakes for everything beyond it."""

from dataclasses import dataclass, field
from typing import Any

import argon2
from aiohttp.test_utils import TestClient, TestServer

from services.gateway.adapters.access_tokens import JwtAccessTokens, RandomSecrets
from services.gateway.adapters.passwords import Argon2Passwords
from services.gateway.adapters.postgres import factory
from services.gateway.adapters.vault import AesVault
from services.gateway.entrypoints.http.application import make_application
from services.gateway.entrypoints.http.dependencies import Dependencies
from services.gateway.handlers.ask_others import Inquiry
from services.gateway.settings import GatewaySettings
from shared.runtime.ids import UuidSeven
from shared.runtime.postgres import Database
from tests.fakes.gateway import FakeCloudAccess, FakeOthers, FakeSwitch, SetClock

PASSWORD = "correct horse battery"
ACCOUNT = {
    "name": "production",
    "account_number": "123456789012",
    "role_arn": "arn:aws:iam::123456789012:role/spot-optimizer",
    "region": "us-east-1",
}
TEMPLATE = {
    "launch_template_id": "lt-0123",
    "subnets": [{"subnet_id": "subnet-1", "zone": "us-east-1a", "zone_id": "use1-az1"}],
}
SETTINGS = GatewaySettings(log_in_attempts=3, watch_period_seconds=0.01, keepalive_seconds=1)


def weak_passwords() -> Argon2Passwords:
    """Real hashes that cost nothing."""
    return Argon2Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Stage:
    """The API and the knobs behind it."""

    database: Database
    clock: SetClock = field(default_factory=SetClock)
    others: FakeOthers = field(default_factory=FakeOthers)
    cloud: FakeCloudAccess = field(default_factory=FakeCloudAccess)
    switch: FakeSwitch = field(default_factory=FakeSwitch)
    client: TestClient[Any, Any] = field(init=False)

    async def open(self) -> None:
        unit_of_work, ids = factory(self.database), UuidSeven()
        dependencies = Dependencies(
            settings=SETTINGS,
            unit_of_work=unit_of_work,
            inquiry=Inquiry(
                unit_of_work=unit_of_work,
                others=self.others,
                clock=self.clock,
                ids=ids,
                timeout_seconds=1,
            ),
            passwords=weak_passwords(),
            access_tokens=JwtAccessTokens(
                secret="x" * 32, lifetime=SETTINGS.access_token_lifetime, clock=self.clock
            ),
            secret_source=RandomSecrets(),
            vault=AesVault("ab" * 32),
            cloud=self.cloud,
            safe_mode=self.switch,
            clock=self.clock,
            ids=ids,
        )
        self.client = TestClient(TestServer(make_application(dependencies)))
        await self.client.start_server()

    async def close(self) -> None:
        await self.client.close()

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Call; return the status and the JSON body."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self.client.request(method, f"/api/v1{path}", json=body, headers=sent) as answer:
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json"
            return answer.status, await answer.json(content_type=None)

    async def sign_up(self, email: str = "ada@example.com") -> dict[str, Any]:
        body = {"email": email, "password": PASSWORD, "organization": f"of {email}"}
        status, granted = await self.call("POST", "/auth/sign-up", body)
        assert status == 201, granted
        assert isinstance(granted, dict)
        return granted

    async def connect_cluster(self, token: str, name: str = "shop", **fields: Any) -> dict[str, Any]:
        status, accounts = await self.call("GET", "/cloud-accounts", token=token)
        assert status == 200
        if accounts["cloud_accounts"]:
            account = accounts["cloud_accounts"][0]
        else:
            status, account = await self.call("POST", "/cloud-accounts", ACCOUNT, token=token)
            assert status == 201, account
        body = {"name": name, "cloud_account_id": account["id"], "node_template": TEMPLATE, **fields}
        status, connected = await self.call("POST", "/clusters", body, token=token)
        assert status == 201, connected
        assert isinstance(connected, dict)
        return connected

    async def sent(self, kind: str) -> list[str]:
        """Bodies in the outbox of one message type, in order."""
        async with self.database.transaction() as transaction:
            rows = await transaction.connection.fetch(
                "select body from outbox where subject like $1 || '.%' order by position", kind
            )
        return [row["body"].decode() for row in rows]
