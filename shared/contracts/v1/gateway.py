"""Messages owned by the gateway: what people decided, and the agents' door."""

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field, SecretStr, field_serializer

from shared.contracts.base import Event, Reply, Request, Token, Value, Version
from shared.contracts.v1.policy import NodeTemplate, Policy


class CloudAccountRef(Value):
    """How to act in a customer's AWS account; holds no secret."""

    id: Token
    account_number: str
    region: str


class ClusterRegistered(Event):
    """A cluster belongs to an organization; receivers learn it only from here. Scope: cluster."""

    type: ClassVar[str] = "gateway.evt.v1.cluster_registered"

    organization_id: Token
    name: str
    """As EKS knows it."""
    cloud_account: CloudAccountRef


class ClusterConfigured(Event):
    """Policy or node template changed; the highest revision wins. Scope: cluster."""

    type: ClassVar[str] = "gateway.evt.v1.cluster_configured"

    organization_id: Token
    revision: int
    policy: Policy
    node_template: NodeTemplate


class PlanApproved(Event):
    """Carry the plan out, if it is still the one that was seen. Scope: cluster."""

    type: ClassVar[str] = "gateway.evt.v1.plan_approved"

    organization_id: Token
    plan_id: UUID
    plan_sha256: str
    """Hex, of the plan's canonical JSON (`shared.contracts.digest`)."""
    approved_by: str
    """A user id, or autopilot."""


class ExecutionStopRequested(Event):
    """Start no further move of this execution. Scope: cluster."""

    type: ClassVar[str] = "gateway.evt.v1.execution_stop_requested"

    organization_id: Token
    execution_id: UUID
    requested_by: str


class AuditRecorded(Event):
    """Somebody did something through the gateway. Scope: organization."""

    type: ClassVar[str] = "gateway.evt.v1.audit_recorded"

    actor: str
    action: str
    """verb_noun, such as approve_plan."""
    target: str
    detail: dict[str, str] = Field(default_factory=dict)
    remote_address: str | None = None


class EnrollAgent(Request):
    """An agent with an install token asks for its credential. Scope: cluster."""

    type: ClassVar[str] = "gateway.rpc.v1.enroll_agent"

    install_token: SecretStr
    agent_version: Version
    kubernetes_version: Version | None = None

    @field_serializer("install_token", when_used="json")
    def _reveal(self, token: SecretStr) -> str:
        return token.get_secret_value()


class SigningKey(Value):
    """A public key of the executor."""

    key_id: str
    public_key_hex: str
    """Ed25519, 32 bytes."""


class AgentEnrolled(Reply):
    """Shown once: the agent keeps it in a Secret."""

    cluster_id: str
    credential: SecretStr
    """A NATS token that grants the cluster's own subjects."""
    signing_keys: tuple[SigningKey, ...]

    @field_serializer("credential", when_used="json")
    def _reveal(self, credential: SecretStr) -> str:
        return credential.get_secret_value()


class LendCredentials(Request):
    """Ask for AWS session credentials of a cluster's account. Scope: cluster. Never stored, never logged."""

    type: ClassVar[str] = "gateway.rpc.v1.lend_credentials"

    purpose: str
    """read or write: which session policy narrows the credentials."""


class LentCredentials(Reply):
    """An STS session of the customer's role."""

    access_key_id: str
    secret_access_key: SecretStr
    session_token: SecretStr
    expires_at: AwareDatetime
    account_number: str
    region: str

    @field_serializer("secret_access_key", "session_token", when_used="json")
    def _reveal(self, secret: SecretStr) -> str:
        return secret.get_secret_value()
