"""Say that the agent lives, and at which position it is."""

from agent.domain.numbering import Numbering
from agent.ports import Outbox
from shared.contracts.v1.agent import HeartbeatSent
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


def send_heartbeat(
    *,
    cluster_id: str,
    agent_version: str,
    kubernetes_version: str | None,
    numbering: Numbering,
    outbox: Outbox,
    clock: Clock,
    ids: Ids,
) -> None:
    """Put a heartbeat in line, behind the deltas whose position it names."""
    event = HeartbeatSent.make(
        scope=cluster_id,
        clock=clock,
        ids=ids,
        agent_version=agent_version,
        kubernetes_version=kubernetes_version,
        epoch=numbering.epoch,
        sequence=numbering.sequence,
        buffered_messages=outbox.waiting,
    )
    outbox.add(event)
