"""The gateway's ports: a store that lives in memory and keeps tenants apart as the real one does, and knobs."""

import copy
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from services.gateway.domain.approvals import ProposedPlan
from services.gateway.domain.cloud_accounts import AwsSession, CloudAccount, Purpose
from services.gateway.domain.people import Membership, Organization, Session, User
from services.gateway.domain.tokens import AgentCredential, InstallToken
from services.gateway.errors import ConflictError
from services.gateway.ports import Cluster, Configuration, UnitOfWork
from shared.contracts.base import Message, Reply, Request
from shared.kernel.errors import UnavailableError

R = TypeVar("R", bound=Reply)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class SetClock:
    """A clock that only the test moves."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class SteadyIds:
    """The same ids in every run."""

    def __init__(self) -> None:
        self._made = 0

    def new(self) -> UUID:
        self._made += 1
        return UUID(int=(0x01900000 << 96) | (0x7000 << 64) | (0x8000 << 48) | self._made)


class CountedSecrets:
    """Secrets a test can foresee: secret-1, secret-2, …"""

    def __init__(self) -> None:
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"secret-{self._made}"


class PlainPasswords:
    """No hashing; counts comparisons."""

    def __init__(self) -> None:
        self.comparisons = 0

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def is_match(self, password: str, password_hash: str | None) -> bool:
        self.comparisons += 1
        return password_hash == f"hash of {password}"


class FakeCloudAccess:
    """Lets every role be assumed, unless told otherwise."""

    def __init__(self) -> None:
        self.next_error: Exception | None = None
        self.calls: list[tuple[CloudAccount, str, Purpose]] = []

    def regions(self) -> Collection[str]:
        return {"us-east-1", "eu-central-1"}

    async def assume(self, account: CloudAccount, *, external_id: str, purpose: Purpose) -> AwsSession:
        self.calls.append((account, external_id, purpose))
        if self.next_error is not None:
            raise self.next_error
        return AwsSession(
            access_key_id="ASIAEXAMPLE",
            secret_access_key="not-a-real-key",
            session_token="not-a-real-token",
            expires_at=START + timedelta(hours=1),
            assumed_account_number=account.account_number,
        )


class FakeOthers:
    """Answers by request class; what has no answer does not answer."""

    def __init__(self, answers: Mapping[type[Request], Reply] | None = None) -> None:
        self.answers: dict[type[Request], Reply] = dict(answers or {})
        self.asked: list[Request] = []

    async def ask(self, request: Request, reply_class: type[R], *, timeout_seconds: float = 10.0) -> R:
        self.asked.append(request)
        if type(request) not in self.answers:
            raise UnavailableError(f"nobody serves {request.type}")
        answer = self.answers[type(request)]
        assert isinstance(answer, reply_class)
        return answer


class FakeSwitch:
    """Safe mode in a dict."""

    def __init__(self) -> None:
        self.keys: dict[str, bool] = {}
        self.next_error: Exception | None = None

    async def is_on(self, *, organization_id: str, cluster_id: str) -> bool:
        keys = (f"organization.{organization_id}", f"cluster.{cluster_id}")
        return any(self.keys.get(key, False) for key in keys)

    async def put(self, key: str, *, on: bool) -> None:
        if self.next_error is not None:
            raise self.next_error
        self.keys[key] = on


@dataclass
class State:
    """Every table."""

    users: dict[str, User] = field(default_factory=dict)
    attempts: list[tuple[str, datetime]] = field(default_factory=list)
    organizations: dict[str, Organization] = field(default_factory=dict)
    memberships: list[Membership] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    refresh_tokens: dict[tuple[str, bytes], bool] = field(default_factory=dict)
    accounts: dict[str, CloudAccount] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    install_tokens: dict[str, tuple[str, InstallToken]] = field(default_factory=dict)
    credentials: dict[str, tuple[str, AgentCredential]] = field(default_factory=dict)
    plans: dict[UUID, ProposedPlan] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)


class InMemoryGateway:
    """A UnitOfWorkFactory; `state` is what was committed."""

    def __init__(self) -> None:
        self.state = State()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        working = copy.deepcopy(self.state)
        yield cast("UnitOfWork", _InMemoryUnitOfWork(working))
        self.state = working

    def sent(self, message_class: type[Message]) -> list[Any]:
        """Messages of a class that were committed."""
        return [message for message in self.state.sent if isinstance(message, message_class)]


class _InMemoryUnitOfWork:
    def __init__(self, state: State) -> None:
        self._state = state
        self.organization_id: str | None = None
        self._user_id: str | None = None
        self.outbox = _Outbox(state)
        self.users = _Users(state)
        self.organizations = _Organizations(state, self)
        self.sessions = _Sessions(state, self)
        self.accounts = _Accounts(state, self)
        self.clusters = _Clusters(state, self)
        self.agents = _Agents(state, self)
        self.plans = _Plans(state, self)

    def sees(self, organization_id: str) -> bool:
        return organization_id == self.organization_id

    def sees_user(self, user_id: str) -> bool:
        return user_id == self._user_id

    async def act_for(self, organization_id: str) -> None:
        self.organization_id = organization_id

    async def act_as_user(self, user_id: str) -> None:
        self._user_id = user_id

    async def act_in_session(self, session_id: str) -> str | None:
        session = self._state.sessions.get(session_id)
        return self._enter(session.organization_id if session else None)

    async def act_for_cluster(self, cluster_id: str) -> str | None:
        cluster = self._state.clusters.get(cluster_id)
        return self._enter(cluster.organization_id if cluster else None)

    def _enter(self, organization_id: str | None) -> str | None:
        self.organization_id = organization_id or self.organization_id
        return organization_id


class _Outbox:
    def __init__(self, state: State) -> None:
        self._state = state

    async def add(self, message: Message) -> None:
        self._state.sent.append(message)


class _Users:
    def __init__(self, state: State) -> None:
        self._state = state

    async def add(self, user: User) -> None:
        if await self.by_email(user.email):
            raise ConflictError("This address has an account already; log in.")
        self._state.users[user.id] = user

    async def get(self, user_id: str) -> User | None:
        return self._state.users.get(user_id)

    async def by_email(self, email: str) -> User | None:
        return next((user for user in self._state.users.values() if user.email == email), None)

    async def begin_attempt(self, email: str, *, now: datetime, since: datetime, limit: int) -> bool:
        self._state.attempts = [a for a in self._state.attempts if a[1] > since]
        if sum(1 for a in self._state.attempts if a[0] == email) >= limit:
            return False
        self._state.attempts.append((email, now))
        return True

    async def forget_attempts(self, email: str) -> None:
        self._state.attempts = [a for a in self._state.attempts if a[0] != email]


class _Tenanted:
    def __init__(self, state: State, acting: _InMemoryUnitOfWork) -> None:
        self._state = state
        self._acting = acting


class _Organizations(_Tenanted):
    async def add(self, organization: Organization, owner: Membership) -> None:
        assert self._acting.sees(organization.id)
        self._state.organizations[organization.id] = organization
        self._state.memberships.append(owner)

    async def get(self, organization_id: str) -> Organization | None:
        return self._state.organizations.get(organization_id) if self._acting.sees(organization_id) else None

    async def memberships(self, user_id: str) -> Sequence[Membership]:
        return [
            m
            for m in self._state.memberships
            if m.user_id == user_id
            and (self._acting.sees_user(user_id) or self._acting.sees(m.organization_id))
        ]


class _Sessions(_Tenanted):
    async def add(self, session: Session, secret_sha256: bytes) -> None:
        assert self._acting.sees(session.organization_id)
        self._state.sessions[session.id] = session
        self._state.refresh_tokens[session.id, secret_sha256] = False

    async def locked(self, session_id: str) -> Session | None:
        found = self._state.sessions.get(session_id)
        return found if found and self._acting.sees(found.organization_id) else None

    async def is_used(self, session_id: str, secret_sha256: bytes) -> bool | None:
        return self._state.refresh_tokens.get((session_id, secret_sha256))

    async def rotate(self, session_id: str, *, used: bytes, fresh: bytes, now: datetime) -> None:
        self._state.refresh_tokens[session_id, used] = True
        self._state.refresh_tokens[session_id, fresh] = False

    async def end(self, session_id: str, *, now: datetime) -> None:
        found = await self.locked(session_id)
        if found is not None and found.ended_at is None:
            self._state.sessions[session_id] = replace(found, ended_at=now)


class _Accounts(_Tenanted):
    async def add(self, account: CloudAccount) -> None:
        if any(other.name == account.name for other in await self.list()):
            raise ConflictError
        self._state.accounts[account.id] = account

    async def get(self, account_id: str) -> CloudAccount | None:
        return next((account for account in await self.list() if account.id == account_id), None)

    async def list(self) -> Sequence[CloudAccount]:
        return [a for a in self._state.accounts.values() if self._acting.sees(a.organization_id)]


class _Clusters(_Tenanted):
    async def add(self, cluster: Cluster) -> None:
        if any(other.name == cluster.name for other in await self.list()):
            raise ConflictError
        self._state.clusters[cluster.id] = cluster

    async def get(self, cluster_id: str) -> Cluster | None:
        return next((cluster for cluster in await self.list() if cluster.id == cluster_id), None)

    async def locked(self, cluster_id: str) -> Cluster | None:
        return await self.get(cluster_id)

    async def list(self) -> Sequence[Cluster]:
        return [c for c in self._state.clusters.values() if self._acting.sees(c.organization_id)]

    async def configure(self, cluster_id: str, configuration: Configuration) -> None:
        self._state.clusters[cluster_id] = replace(
            self._state.clusters[cluster_id], configuration=configuration
        )

    async def note_heartbeat(
        self, cluster_id: str, *, at: datetime, agent_version: str, kubernetes_version: str | None
    ) -> None:
        held = self._state.clusters[cluster_id]
        if held.last_heartbeat_at is None or held.last_heartbeat_at < at:
            self._state.clusters[cluster_id] = replace(
                held,
                last_heartbeat_at=at,
                agent_version=agent_version,
                kubernetes_version=kubernetes_version,
            )


class _Agents(_Tenanted):
    async def add_install_token(self, cluster_id: str, token: InstallToken) -> None:
        assert self._acting.organization_id is not None
        self._state.install_tokens[token.id] = (cluster_id, token)

    async def install_tokens(self, cluster_id: str) -> Sequence[InstallToken]:
        return [token for owner, token in self._state.install_tokens.values() if owner == cluster_id]

    async def note_use(self, token_id: str, *, now: datetime) -> None:
        cluster_id, token = self._state.install_tokens[token_id]
        if token.first_used_at is None:
            self._state.install_tokens[token_id] = (cluster_id, replace(token, first_used_at=now))

    async def end_install_tokens(self, cluster_id: str, *, now: datetime) -> None:
        kept = {k: v for k, v in self._state.install_tokens.items() if v[0] != cluster_id}
        self._state.install_tokens = kept

    async def add_credential(self, cluster_id: str, credential: AgentCredential, *, now: datetime) -> None:
        self._state.credentials[credential.id] = (cluster_id, credential)

    async def credentials(self, cluster_id: str) -> Sequence[AgentCredential]:
        return [c for owner, c in self._state.credentials.values() if owner == cluster_id]

    async def end_credentials(self, cluster_id: str, *, now: datetime) -> None:
        kept = {k: v for k, v in self._state.credentials.items() if v[0] != cluster_id}
        self._state.credentials = kept


class _Plans(_Tenanted):
    async def add(self, plan: ProposedPlan) -> None:
        self._state.plans.setdefault(plan.id, plan)

    async def locked(self, cluster_id: str, plan_id: UUID) -> ProposedPlan | None:
        found = self._state.plans.get(plan_id)
        is_own = found and found.cluster_id == cluster_id and self._acting.sees(found.organization_id)
        return found if is_own else None

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[ProposedPlan]:
        own = [
            p
            for p in self._state.plans.values()
            if p.cluster_id == cluster_id and self._acting.sees(p.organization_id)
        ]
        return sorted(own, key=lambda p: p.created_at, reverse=True)[:limit]

    async def note_approval(self, plan_id: UUID, *, by: str, now: datetime) -> None:
        self._state.plans[plan_id] = replace(self._state.plans[plan_id], approved_by=by, approved_at=now)
