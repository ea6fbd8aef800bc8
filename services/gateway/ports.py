"""What the gateway needs from outside."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from services.gateway.domain.access import Caller, Role
from services.gateway.domain.approvals import ProposedPlan
from services.gateway.domain.cloud_accounts import AwsSession, CloudAccount, Purpose
from services.gateway.domain.people import Membership, Organization, Session, User
from services.gateway.domain.tokens import AgentCredential, InstallToken
from shared.contracts.base import Message, Reply, Request
from shared.contracts.v1.policy import NodeTemplate, Policy

R = TypeVar("R", bound=Reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a client allows in a cluster; a new revision with each change."""

    revision: int
    policy: Policy
    node_template: NodeTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A connected cluster."""

    id: str
    organization_id: str
    account_id: str
    name: str
    created_at: datetime
    configuration: Configuration
    last_heartbeat_at: datetime | None = None
    agent_version: str | None = None
    kubernetes_version: str | None = None


class UserRepository(Protocol):
    """People, whatever their organization."""

    async def add(self, user: User) -> None:
        """Keep a new user.

        Raises:
            ConflictError: the address has an account.
        """
        ...

    async def get(self, user_id: str) -> User | None:
        """Return a user."""
        ...

    async def by_email(self, email: str) -> User | None:
        """Return the user with this (normalized) address."""
        ...

    async def begin_attempt(self, email: str, *, now: datetime, since: datetime, limit: int) -> bool:
        """Count an attempt to log in; return False, counting nothing, when `limit` were made after `since`."""
        ...

    async def forget_attempts(self, email: str) -> None:
        """An attempt succeeded."""
        ...


class OrganizationRepository(Protocol):
    """Tenants and who belongs to them."""

    async def add(self, organization: Organization, owner: Membership) -> None:
        """Keep a new organization with its first member."""
        ...

    async def get(self, organization_id: str) -> Organization | None:
        """Return an organization."""
        ...

    async def memberships(self, user_id: str) -> Sequence[Membership]:
        """Return a user's memberships, the oldest first."""
        ...


class SessionRepository(Protocol):
    """Log-ins and their refresh tokens."""

    async def add(self, session: Session, secret_sha256: bytes) -> None:
        """Keep a new session with its first refresh token."""
        ...

    async def locked(self, session_id: str) -> Session | None:
        """Return a session; nobody else may rotate it until the transaction ends."""
        ...

    async def is_used(self, session_id: str, secret_sha256: bytes) -> bool | None:
        """Say whether this refresh token was used before; None when the session never had it."""
        ...

    async def rotate(self, session_id: str, *, used: bytes, fresh: bytes, now: datetime) -> None:
        """Mark one refresh token used and keep its successor."""
        ...

    async def end(self, session_id: str, *, now: datetime) -> None:
        """End a session."""
        ...


class CloudAccountRepository(Protocol):
    """AWS accounts."""

    async def add(self, account: CloudAccount) -> None:
        """Keep a new account.

        Raises:
            ConflictError: the organization has one of this name.
        """
        ...

    async def get(self, account_id: str) -> CloudAccount | None:
        """Return an account."""
        ...

    async def list(self) -> Sequence[CloudAccount]:
        """Return the organization's accounts by name."""
        ...


class ClusterRepository(Protocol):
    """Clusters and their configuration."""

    async def add(self, cluster: Cluster) -> None:
        """Keep a new cluster.

        Raises:
            ConflictError: the organization has one of this name.
        """
        ...

    async def get(self, cluster_id: str) -> Cluster | None:
        """Return a cluster."""
        ...

    async def locked(self, cluster_id: str) -> Cluster | None:
        """Return a cluster; nobody else may configure it until the transaction ends."""
        ...

    async def list(self) -> Sequence[Cluster]:
        """Return the organization's clusters by name."""
        ...

    async def configure(self, cluster_id: str, configuration: Configuration) -> None:
        """Replace a cluster's configuration."""
        ...

    async def note_heartbeat(
        self, cluster_id: str, *, at: datetime, agent_version: str, kubernetes_version: str | None
    ) -> None:
        """Remember that an agent lives; an older heartbeat changes nothing."""
        ...


class AgentRepository(Protocol):
    """What opens the agents' door, as digests."""

    async def add_install_token(self, cluster_id: str, token: InstallToken) -> None:
        """Keep a new install token."""
        ...

    async def install_tokens(self, cluster_id: str) -> Sequence[InstallToken]:
        """Return a cluster's install tokens that have not been ended."""
        ...

    async def note_use(self, token_id: str, *, now: datetime) -> None:
        """Remember the first use of an install token."""
        ...

    async def end_install_tokens(self, cluster_id: str, *, now: datetime) -> None:
        """End every install token of a cluster."""
        ...

    async def add_credential(self, cluster_id: str, credential: AgentCredential, *, now: datetime) -> None:
        """Keep a new credential."""
        ...

    async def credentials(self, cluster_id: str) -> Sequence[AgentCredential]:
        """Return a cluster's credentials that have not been ended."""
        ...

    async def end_credentials(self, cluster_id: str, *, now: datetime) -> None:
        """End every credential of a cluster."""
        ...


class PlanRepository(Protocol):
    """Plans that were proposed, and what was decided."""

    async def add(self, plan: ProposedPlan) -> None:
        """Keep a plan; one that is known already stays as it is."""
        ...

    async def locked(self, cluster_id: str, plan_id: UUID) -> ProposedPlan | None:
        """Return a plan; nobody else may approve it until the transaction ends."""
        ...

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[ProposedPlan]:
        """Return a cluster's plans, the newest first."""
        ...

    async def note_approval(self, plan_id: UUID, *, by: str, now: datetime) -> None:
        """Remember who approved a plan."""
        ...


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...


class UnitOfWork(Protocol):
    """One transaction: state and messages together, or neither.

    Nothing of any tenant is visible before one of the `act_` methods has said on whose behalf it works.
    """

    @property
    def users(self) -> UserRepository:
        """People."""
        ...

    @property
    def organizations(self) -> OrganizationRepository:
        """Tenants."""
        ...

    @property
    def sessions(self) -> SessionRepository:
        """Log-ins."""
        ...

    @property
    def accounts(self) -> CloudAccountRepository:
        """AWS accounts."""
        ...

    @property
    def clusters(self) -> ClusterRepository:
        """Clusters."""
        ...

    @property
    def agents(self) -> AgentRepository:
        """Agents' tokens."""
        ...

    @property
    def plans(self) -> PlanRepository:
        """Proposed plans."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages out."""
        ...

    async def act_for(self, organization_id: str) -> None:
        """See and change this organization's rows, and no other's."""
        ...

    async def act_as_user(self, user_id: str) -> None:
        """See this user's memberships."""
        ...

    async def act_in_session(self, session_id: str) -> str | None:
        """Act for the organization that a session belongs to; return it, or None when there is no such session."""
        ...

    async def act_for_cluster(self, cluster_id: str) -> str | None:
        """Act for the organization that a cluster belongs to; return it, or None when nobody has it."""
        ...


class UnitOfWorkFactory(Protocol):
    """Opens a unit of work; leaving it normally commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begin."""
        ...


class Passwords(Protocol):
    """Hashes that are slow on purpose."""

    async def hash(self, password: str) -> str:
        """Give what is stored of a password."""
        ...

    async def is_match(self, password: str, password_hash: str | None) -> bool:
        """Compare; without a hash it takes as long, and is False."""
        ...


class AccessTokens(Protocol):
    """Short-lived proof of who is logged in."""

    def issue(self, *, user_id: str, organization_id: str, role: Role, session_id: str) -> str:
        """Give a token."""
        ...

    def read(self, token: str) -> Caller:
        """Give who a token is about.

        Raises:
            NotAuthenticatedError: it is expired or not ours.
        """
        ...

    @property
    def lifetime_seconds(self) -> int:
        """How long one works."""
        ...


class SecretSource(Protocol):
    """Where unguessable text comes from."""

    def new(self) -> str:
        """Return 256 random bits, safe in a URL and in a token."""
        ...


class Vault(Protocol):
    """Seals what is stored."""

    def seal(self, secret: str, *, row_id: str) -> bytes:
        """Encrypt for one row: it cannot be opened as another's."""
        ...

    def open(self, sealed: bytes, *, row_id: str) -> str:
        """Decrypt.

        Raises:
            SecretUnreadableError: it was sealed for another row or with an unknown key.
        """
        ...


class CloudAccess(Protocol):
    """The door of customers' AWS accounts."""

    def regions(self) -> Collection[str]:
        """Return every region that AWS has, as far as our client knows."""
        ...

    async def assume(self, account: CloudAccount, *, external_id: str, purpose: Purpose) -> AwsSession:
        """Assume the account's role.

        Raises:
            RoleRefusedError: AWS refuses.
            AwsUnavailableError: AWS does not answer.
        """
        ...


class OtherServices(Protocol):
    """Questions to the other services."""

    async def ask(self, request: Request, reply_class: type[R], *, timeout_seconds: float = 10.0) -> R:
        """Ask whoever serves it.

        Raises:
            UnavailableError: nobody answers.
        """
        ...


class SafeModeSwitch(Protocol):
    """Safe mode, per organization and per cluster."""

    async def is_on(self, *, organization_id: str, cluster_id: str) -> bool:
        """Whether writes for this cluster are dry runs now."""
        ...

    async def put(self, key: str, *, on: bool) -> None:
        """Turn the switch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BusGrant:
    """What a connection of an agent may do on the bus."""

    cluster_id: str
    is_enrolled: bool
    """False: it holds an install token, so it may enrol and nothing else."""
    expires_at: datetime
