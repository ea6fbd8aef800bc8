"""The store in memory and the one in Postgres keep the same promises."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from services.gateway.adapters.postgres import factory
from services.gateway.domain.access import Role
from services.gateway.domain.approvals import ProposedPlan
from services.gateway.domain.cloud_accounts import CloudAccount
from services.gateway.domain.people import Membership, Organization, Session, User
from services.gateway.domain.tokens import AgentCredential, InstallToken, digest
from services.gateway.errors import ConflictError
from services.gateway.ports import Cluster, Configuration, UnitOfWorkFactory
from shared.contracts.v1.policy import Approval, NodeTemplate, Policy, SubnetRef
from shared.runtime.postgres import Database
from tests.fakes.gateway import START, InMemoryGateway

MINUTE = timedelta(minutes=1)
SUBNET = SubnetRef(subnet_id="s", zone="us-east-1a", zone_id="use1-az1")
CONFIGURATION = Configuration(
    revision=1,
    policy=Policy(),
    node_template=NodeTemplate(launch_template_id="lt", subnets=(SUBNET,)),
)
PLAN = ProposedPlan(
    id=UUID(int=1),
    organization_id="org-1",
    cluster_id="c-1",
    sha256="ab",
    trigger="timer",
    move_kinds=("replace", "launch"),
    created_at=START,
    expires_at=START + MINUTE,
    decision_note="The policy asks a person.",
)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def make_store(request: pytest.FixtureRequest) -> Callable[[], Awaitable[UnitOfWorkFactory]]:
    """A factory of either store."""
    if request.param == "memory":

        async def in_memory() -> UnitOfWorkFactory:
            return InMemoryGateway()

        return in_memory
    make_database: Callable[[str], Awaitable[Database]] = request.getfixturevalue("make_database")

    async def in_postgres() -> UnitOfWorkFactory:
        return factory(await make_database("gateway"))

    return in_postgres


@pytest.fixture
async def store(make_store: Callable[[], Awaitable[UnitOfWorkFactory]]) -> UnitOfWorkFactory:
    """Two organizations with a user, an account and a cluster each."""
    made = await make_store()
    for number in (1, 2):
        await _found(made, number)
    return made


async def _found(store: UnitOfWorkFactory, number: int) -> None:
    organization = Organization(id=f"org-{number}", name="x", created_at=START)
    user = User(id=f"u-{number}", email=f"{number}@example.com", password_hash="h", created_at=START)
    owner = Membership(organization_id=organization.id, user_id=user.id, role=Role.OWNER, created_at=START)
    async with store() as uow:
        await uow.act_for(organization.id)
        await uow.users.add(user)
        await uow.organizations.add(organization, owner)
        await uow.accounts.add(
            CloudAccount(
                id=f"a-{number}",
                organization_id=organization.id,
                name="production",
                account_number="123456789012",
                role_arn="arn",
                sealed_external_id=b"sealed",
                region="us-east-1",
                created_at=START,
            )
        )
        await uow.clusters.add(
            Cluster(
                id=f"c-{number}",
                organization_id=organization.id,
                account_id=f"a-{number}",
                name="shop",
                created_at=START,
                configuration=CONFIGURATION,
            )
        )


async def test_only_ones_own_rows_are_seen(store: UnitOfWorkFactory) -> None:
    async with store() as uow:
        assert list(await uow.clusters.list()) == []
        assert await uow.organizations.memberships("u-1") == []
        await uow.act_as_user("u-1")
        (membership,) = await uow.organizations.memberships("u-1")
        assert (membership.organization_id, membership.role) == ("org-1", Role.OWNER)
        assert await uow.act_for_cluster("c-2") == "org-2"
        assert [cluster.id for cluster in await uow.clusters.list()] == ["c-2"]
        assert [account.id for account in await uow.accounts.list()] == ["a-2"]
        assert await uow.clusters.get("c-1") is None
        assert await uow.accounts.get("a-1") is None
        assert await uow.organizations.get("org-1") is None
        assert await uow.act_for_cluster("nobodys") is None


async def test_names_and_addresses_are_unique(store: UnitOfWorkFactory) -> None:
    user = User(id="u-3", email="1@example.com", password_hash="h", created_at=START)
    async with store() as uow:
        with pytest.raises(ConflictError):
            await uow.users.add(user)
    async with store() as uow:
        await uow.act_for("org-1")
        cluster, account = await uow.clusters.get("c-1"), await uow.accounts.get("a-1")
    assert cluster is not None
    assert account is not None
    async with store() as uow:
        await uow.act_for("org-1")
        with pytest.raises(ConflictError):
            await uow.clusters.add(replace(cluster, id="c-9"))
    async with store() as uow:
        await uow.act_for("org-1")
        with pytest.raises(ConflictError):
            await uow.accounts.add(replace(account, id="a-9"))


async def test_what_fails_changes_nothing(store: UnitOfWorkFactory) -> None:
    async def fail() -> None:
        async with store() as uow:
            await uow.act_for("org-1")
            await uow.clusters.configure("c-1", replace(CONFIGURATION, revision=2))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with store() as uow:
        await uow.act_for("org-1")
        cluster = await uow.clusters.get("c-1")
    assert cluster is not None
    assert cluster.configuration == CONFIGURATION


async def test_a_configuration_comes_back_as_it_was(store: UnitOfWorkFactory) -> None:
    changed = replace(CONFIGURATION, revision=2, policy=Policy(approval=Approval.AUTOPILOT, max_vcpus=8))
    async with store() as uow:
        await uow.act_for("org-1")
        await uow.clusters.configure("c-1", changed)
        cluster = await uow.clusters.locked("c-1")
    assert cluster is not None
    assert cluster.configuration == changed


async def test_attempts_are_counted_in_a_window(store: UnitOfWorkFactory) -> None:
    async def begin(minute: int) -> bool:
        now = START + minute * MINUTE
        async with store() as uow:
            return await uow.users.begin_attempt("e@x", now=now, since=now - 10 * MINUTE, limit=2)

    assert [await begin(minute) for minute in (0, 1, 2, 9)] == [True, True, False, False]
    assert [await begin(minute) for minute in (10, 10, 11)] == [True, False, True]
    async with store() as uow:
        await uow.users.forget_attempts("e@x")
    assert await begin(11)


async def test_a_session_rotates_and_ends(store: UnitOfWorkFactory) -> None:
    session = Session(
        id="s-1", organization_id="org-1", user_id="u-1", created_at=START, expires_at=START + MINUTE
    )
    async with store() as uow:
        await uow.act_for("org-1")
        await uow.sessions.add(session, b"one")
    async with store() as uow:
        assert await uow.act_in_session("nobodys") is None
        assert await uow.act_in_session("s-1") == "org-1"
        assert await uow.sessions.locked("s-1") == session
        assert await uow.sessions.is_used("s-1", b"one") is False
        await uow.sessions.rotate("s-1", used=b"one", fresh=b"two", now=START)
        assert await uow.sessions.is_used("s-1", b"one") is True
        assert await uow.sessions.is_used("s-1", b"two") is False
        assert await uow.sessions.is_used("s-1", b"three") is None
        await uow.sessions.end("s-1", now=START)
        await uow.sessions.end("s-1", now=START + MINUTE)
        ended = await uow.sessions.locked("s-1")
    assert ended is not None
    assert ended.ended_at == START


async def test_agents_tokens_are_kept_used_and_ended(store: UnitOfWorkFactory) -> None:
    token = InstallToken(id="t", secret_sha256=digest("s"), created_at=START)
    credential = AgentCredential(id="k", secret_sha256=digest("c"))
    async with store() as uow:
        await uow.act_for_cluster("c-1")
        await uow.agents.add_install_token("c-1", token)
        await uow.agents.add_credential("c-1", credential, now=START)
        assert list(await uow.agents.install_tokens("c-1")) == [token]
        assert list(await uow.agents.credentials("c-1")) == [credential]
        assert list(await uow.agents.credentials("c-2")) == []
        await uow.agents.note_use("t", now=START + MINUTE)
        await uow.agents.note_use("t", now=START + 2 * MINUTE)
        assert list(await uow.agents.install_tokens("c-1")) == [replace(token, first_used_at=START + MINUTE)]
        await uow.agents.end_install_tokens("c-1", now=START)
        await uow.agents.end_credentials("c-1", now=START)
        assert list(await uow.agents.install_tokens("c-1")) == []
        assert list(await uow.agents.credentials("c-1")) == []


async def test_a_heartbeat_that_is_older_changes_nothing(store: UnitOfWorkFactory) -> None:
    async with store() as uow:
        await uow.act_for_cluster("c-1")
        for minute, version in ((5, "new"), (1, "old")):
            await uow.clusters.note_heartbeat(
                "c-1", at=START + minute * MINUTE, agent_version=version, kubernetes_version=None
            )
        cluster = await uow.clusters.get("c-1")
    assert cluster is not None
    assert (cluster.agent_version, cluster.last_heartbeat_at) == ("new", START + 5 * MINUTE)


async def test_a_plan_is_kept_once_and_belongs_to_its_cluster(store: UnitOfWorkFactory) -> None:
    later = replace(PLAN, id=UUID(int=2), created_at=START + MINUTE)
    async with store() as uow:
        await uow.act_for("org-1")
        for plan in (PLAN, later, replace(PLAN, sha256="other")):
            await uow.plans.add(plan)
        assert list(await uow.plans.newest("c-1", limit=5)) == [later, PLAN]
        assert list(await uow.plans.newest("c-1", limit=1)) == [later]
        await uow.plans.note_approval(PLAN.id, by="u-1", now=START)
        approved = replace(PLAN, approved_by="u-1", approved_at=START)
        assert await uow.plans.locked("c-1", PLAN.id) == approved
        assert await uow.plans.locked("c-2", PLAN.id) is None
    async with store() as uow:
        await uow.act_for("org-2")
        assert await uow.plans.locked("c-1", PLAN.id) is None
