"""Every subject, once. Streams, consumers, permissions, docs and tests are made from this table."""

from dataclasses import dataclass

from shared.contracts.base import Message, Reply, Request
from shared.contracts.v1 import agent, executor, gateway, optimizer, pricing, reporting


@dataclass(frozen=True, slots=True)
class Subject:
    """One row: a message, who may send it, who reads it."""

    message: type[Message]
    scope: str
    """What the last token is: cluster, organization, region or global."""
    stream: str | None = None
    """None: core NATS (requests, and commands to agents)."""
    consumers: tuple[str, ...] = ()
    """Services with a durable pull consumer, or the askers of a request."""
    retention_hours: int = 72
    reply: type[Reply] | None = None

    @property
    def owner(self) -> str:
        """The service that produces the event, receives the command or serves the request."""
        return self.message.type.partition(".")[0]

    @property
    def name(self) -> str:
        """The message's own name, without owner, kind and version."""
        return self.message.type.rsplit(".", 1)[1]

    @property
    def pattern(self) -> str:
        """What consumers subscribe to; the last token is the scope."""
        return f"{self.message.type}.*"

    def for_scope(self, scope: str) -> str:
        """Give the subject of one cluster, organization or region."""
        return f"{self.message.type}.{scope}"


def _event(message: type[Message], scope: str, *consumers: str, hours: int = 72) -> Subject:
    owner = message.type.partition(".")[0].upper()
    return Subject(message, scope, f"{owner}_EVT", consumers, hours)


def _request(message: type[Request], scope: str, reply: type[Reply], *askers: str) -> Subject:
    return Subject(message, scope, None, askers, 0, reply)


SUBJECTS: tuple[Subject, ...] = (
    # agents
    _event(agent.SnapshotChunkPublished, "cluster", "optimizer", "executor", "reporting", hours=24),
    _event(agent.ClusterChanged, "cluster", "optimizer", "executor", "reporting", hours=24),
    _event(agent.UsageSampled, "cluster", "optimizer", hours=24),
    _event(agent.HeartbeatSent, "cluster", "gateway", "optimizer", "executor", "reporting", hours=1),
    _event(agent.CommandFinished, "cluster", "executor"),
    Subject(agent.RequestResync, "cluster", None, ("agent",), 0),
    _request(agent.ExecuteCommand, "cluster", agent.CommandOutcome, "executor"),
    # gateway
    _event(
        gateway.ClusterRegistered, "cluster", "optimizer", "executor", "reporting", "pricing", hours=24 * 365
    ),
    _event(gateway.ClusterConfigured, "cluster", "optimizer", "executor", hours=24 * 365),
    _event(gateway.PlanApproved, "cluster", "executor", "reporting"),
    _event(gateway.ExecutionStopRequested, "cluster", "executor"),
    _event(gateway.AuditRecorded, "organization", "reporting", hours=24 * 30),
    _request(gateway.EnrollAgent, "cluster", gateway.AgentEnrolled, "agent"),
    _request(gateway.LendCredentials, "cluster", gateway.LentCredentials, "executor"),
    # pricing
    _event(pricing.OfferingPricesChanged, "region", "reporting"),
    _event(pricing.InterruptionRiskChanged, "region"),
    _event(pricing.PoolFlagged, "region", "executor", "pricing"),
    _event(pricing.InstanceNoticeReceived, "region", "executor"),
    _request(pricing.QuoteOfferings, "region", pricing.OfferingQuotes, "optimizer", "executor"),
    _request(pricing.PredictInterruption, "region", pricing.InterruptionPrediction, "gateway"),
    _request(pricing.ListFlags, "region", pricing.Flags, "gateway"),
    _request(pricing.UploadOnDemandPrices, "region", pricing.OnDemandPricesUploaded),
    # optimizer
    Subject(optimizer.ProposePlan, "cluster", "OPTIMIZER_CMD", ("optimizer",), 1),
    _event(optimizer.PlanProposed, "cluster", "gateway", "executor", "reporting"),
    _event(optimizer.PlanningSkipped, "cluster", "reporting"),
    _request(optimizer.ListPlans, "cluster", optimizer.Plans, "gateway"),
    _request(optimizer.GetPlan, "cluster", optimizer.PlanReply, "gateway"),
    _request(optimizer.GetClusterSummary, "cluster", optimizer.ClusterSummary, "gateway"),
    # executor
    _event(executor.ExecutionStarted, "cluster", "reporting", "optimizer"),
    _event(executor.StepChanged, "cluster", "reporting"),
    _event(executor.ExecutionFinished, "cluster", "reporting", "optimizer"),
    _event(executor.InstanceLaunched, "cluster", "pricing", "reporting"),
    _event(executor.InstanceTerminated, "cluster", "pricing", "reporting"),
    _event(executor.NodeInterrupted, "cluster", "pricing", "optimizer", "reporting"),
    _event(executor.CapacityInsufficient, "cluster", "pricing", "reporting"),
    _request(executor.ListExecutions, "cluster", executor.Executions, "gateway"),
    _request(executor.GetExecution, "cluster", executor.ExecutionReply, "gateway"),
    _request(executor.GetSigningKeys, "global", executor.SigningKeys, "gateway"),
    # reporting
    _event(reporting.SavingsBooked, "cluster", hours=72),
    _request(reporting.GetSavings, "organization", reporting.Savings, "gateway"),
    _request(reporting.GetActivity, "organization", reporting.Activity, "gateway"),
    _request(reporting.GetAudit, "organization", reporting.Audit, "gateway"),
)

BY_TYPE: dict[str, Subject] = {subject.message.type: subject for subject in SUBJECTS}


def subject_of(message: Message | type[Message]) -> Subject:
    """Give the table's row of a message.

    Raises:
        KeyError: the message is not in the table, so nobody may send it.
    """
    return BY_TYPE[message.type]
