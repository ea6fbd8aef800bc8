"""The agents' door, decided in memory."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from services.gateway.adapters.vault import AesVault
from services.gateway.domain.access import Caller, Role
from services.gateway.domain.cloud_accounts import CloudAccount, Purpose
from services.gateway.domain.people import Membership, Organization
from services.gateway.errors import (
    AgentRefusedError,
    InvalidInputError,
    SecretUnreadableError,
    SettingsError,
    UnknownClusterError,
)
from services.gateway.handlers.admit_agent import admit_agent
from services.gateway.handlers.connect_cluster import connect_cluster
from services.gateway.handlers.enroll_agent import enroll_agent
from services.gateway.handlers.lend_credentials import lend_credentials
from services.gateway.ports import BusGrant
from shared.contracts.v1.executor import GetSigningKeys, SigningKeys
from shared.contracts.v1.gateway import AgentEnrolled, AuditRecorded, EnrollAgent, LendCredentials, SigningKey
from shared.contracts.v1.policy import NodeTemplate, Policy, SubnetRef
from shared.kernel.errors import UnavailableError
from tests.fakes.gateway import (
    START,
    CountedSecrets,
    FakeCloudAccess,
    FakeOthers,
    InMemoryGateway,
    SetClock,
    SteadyIds,
)

KEYS = SigningKeys(keys=(SigningKey(key_id="k1", public_key_hex="ab" * 32),))
VAULT = AesVault("cd" * 32)
LIFETIMES: dict[str, Any] = {
    "install_token_lifetime": timedelta(days=7),
    "install_token_reuse": timedelta(hours=24),
}


class World:
    """One connected cluster."""

    def __init__(self) -> None:
        self.clock, self.ids, self.secrets = SetClock(), SteadyIds(), CountedSecrets()
        self.gateway, self.others = InMemoryGateway(), FakeOthers({GetSigningKeys: KEYS})
        self.cloud = FakeCloudAccess()
        self.cluster_id = self.install_token = ""

    async def connect(self) -> None:
        organization = Organization(id="org", name="ours", created_at=START)
        owner = Membership(organization_id="org", user_id="u", role=Role.OWNER, created_at=START)
        account = CloudAccount(
            id="acc",
            organization_id="org",
            name="a",
            account_number="123456789012",
            role_arn="arn:aws:iam::123456789012:role/x",
            sealed_external_id=VAULT.seal("hush", row_id="acc"),
            region="us-east-1",
            created_at=START,
        )
        async with self.gateway() as uow:
            await uow.act_for("org")
            await uow.organizations.add(organization, owner)
            await uow.accounts.add(account)
        subnet = SubnetRef(subnet_id="s", zone="us-east-1a", zone_id="use1-az1")
        connected = await connect_cluster(
            caller=Caller(user_id="u", organization_id="org", role=Role.OWNER, session_id="s"),
            name="shop",
            cloud_account_id="acc",
            node_template=NodeTemplate(launch_template_id="lt", subnets=(subnet,)),
            policy=Policy(),
            unit_of_work=self.gateway,
            secret_source=self.secrets,
            clock=self.clock,
            ids=self.ids,
        )
        self.cluster_id, self.install_token = connected.cluster.id, str(connected.install_token)

    async def admit(self, token: str) -> BusGrant:
        return await admit_agent(
            presented=token,
            unit_of_work=self.gateway,
            clock=self.clock,
            connection_lifetime=timedelta(hours=12),
            **LIFETIMES,
        )

    async def enroll(self, token: str | None = None, *, scope: str | None = None) -> AgentEnrolled:
        request = EnrollAgent.make(
            scope=scope or self.cluster_id,
            clock=self.clock,
            ids=self.ids,
            install_token=SecretStr(token or self.install_token),
            agent_version="1",
        )
        return await enroll_agent(
            request,
            unit_of_work=self.gateway,
            others=self.others,
            secret_source=self.secrets,
            ask_timeout_seconds=1,
            clock=self.clock,
            ids=self.ids,
            **LIFETIMES,
        )


@pytest.fixture
async def world() -> World:
    made = World()
    await made.connect()
    return made


async def test_an_install_token_admits_to_enrolment_for_minutes(world: World) -> None:
    grant = await world.admit(world.install_token)
    assert (grant.cluster_id, grant.is_enrolled) == (world.cluster_id, False)
    assert grant.expires_at <= START + timedelta(minutes=10)


async def test_an_enrolled_agent_is_admitted_for_half_a_day(world: World) -> None:
    enrolled = await world.enroll()
    grant = await world.admit(enrolled.credential.get_secret_value())
    assert (grant.is_enrolled, grant.expires_at) == (True, START + timedelta(hours=12))
    assert enrolled.signing_keys == KEYS.keys
    (audit,) = [a for a in world.gateway.sent(AuditRecorded) if a.action == "enroll_agent"]
    assert "secret" not in str(audit)


async def test_a_crashed_agent_may_enrol_again_for_a_day(world: World) -> None:
    first = (await world.enroll()).credential.get_secret_value()
    world.clock.move(timedelta(hours=23))
    second = (await world.enroll()).credential.get_secret_value()
    with pytest.raises(AgentRefusedError):
        await world.admit(first)
    assert (await world.admit(second)).is_enrolled
    world.clock.move(timedelta(hours=1))
    for attempt in (world.admit(world.install_token), world.enroll()):
        with pytest.raises(AgentRefusedError):
            await attempt


async def test_nothing_changes_while_the_executor_is_away(world: World) -> None:
    credential = (await world.enroll()).credential.get_secret_value()
    world.others.answers.clear()
    with pytest.raises(UnavailableError):
        await world.enroll()
    assert (await world.admit(credential)).is_enrolled


async def test_a_token_is_good_for_its_own_cluster_and_purpose_only(world: World) -> None:
    credential = (await world.enroll()).credential.get_secret_value()
    for token in ("nonsense", credential, world.install_token.replace(world.cluster_id, "other")):
        with pytest.raises(AgentRefusedError):
            await world.enroll(token)
    with pytest.raises(AgentRefusedError):
        await world.enroll(scope="other")
    secret = credential.rsplit(".", 1)[1]
    for token in (f"spot-refresh.{world.cluster_id}.{secret}", f"spot-agent.other.{secret}"):
        with pytest.raises(AgentRefusedError):
            await world.admit(token)


async def test_credentials_are_lent_for_a_purpose(world: World) -> None:
    async def lend(purpose: str, scope: str) -> str:
        request = LendCredentials.make(scope=scope, clock=world.clock, ids=world.ids, purpose=purpose)
        lent = await lend_credentials(request, unit_of_work=world.gateway, vault=VAULT, cloud=world.cloud)
        assert "not-a-real" not in repr(lent)
        return lent.account_number

    assert await lend("write", world.cluster_id) == "123456789012"
    ((_, external_id, purpose),) = world.cloud.calls
    assert (external_id, purpose) == ("hush", Purpose.WRITE)
    with pytest.raises(InvalidInputError):
        await lend("everything", world.cluster_id)
    with pytest.raises(UnknownClusterError):
        await lend("read", "other")


def test_a_secret_opens_for_its_own_row_and_survives_a_rotation() -> None:
    old, new = "cd" * 32, "ef" * 32
    sealed = AesVault(old).seal("hush", row_id="1")
    assert b"hush" not in sealed
    assert AesVault(new, previous_key_hex=old).open(sealed, row_id="1") == "hush"
    for vault, row_id, bytes_ in (
        (AesVault(new), "1", sealed),
        (AesVault(old), "2", sealed),
        (AesVault(old), "1", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (AesVault(old), "1", b""),
    ):
        with pytest.raises(SecretUnreadableError):
            vault.open(bytes_, row_id=row_id)
    for key in ("", "ab", "zz" * 32):
        with pytest.raises(SettingsError):
            AesVault(key)
