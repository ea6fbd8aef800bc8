"""Undo what nobody finishes: no node stays cordoned by a command that did not end."""

from datetime import timedelta

import structlog

from agent.handlers.execute_command import CommandDesk, due_at
from agent.ports import Cluster, CommandJournal, CommandRecord
from shared.contracts.v1.agent import CommandOutcome, DrainNode, OutcomeStatus
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)


async def release_nodes(
    *,
    desk: CommandDesk,
    journal: CommandJournal,
    cluster: Cluster,
    clock: Clock,
    abandoned_after: timedelta,
) -> int:
    """End commands that no task is at and nobody asks for any more; return how many.

    Raises:
        KubernetesUnavailableError: try again at the next turn.
    """
    released = 0
    for record in journal.unfinished():
        command = record.command
        if desk.is_running(command.id) or clock.now() < due_at(command) + abandoned_after:
            continue
        await _undo(record, cluster)
        outcome = CommandOutcome(
            command_id=command.id,
            status=OutcomeStatus.FAILED,
            detail="begun, then neither finished nor asked for again; what it began was undone",
        )
        desk.finish(record, outcome)
        released += 1
    return released


async def _undo(record: CommandRecord, cluster: Cluster) -> None:
    action = record.command.action
    if not isinstance(action, DrainNode) or action.keep_cordoned_on_failure:
        return
    node = await cluster.node(action.node_name)
    if node is None or node.cordoned_by != str(record.command.id):
        return
    await cluster.uncordon(action.node_name)
    message = f"uncordoned: the drain {record.command.id} was begun and never finished"
    await cluster.note(node_name=action.node_name, reason="DrainAbandoned", message=message)
    log.warning("node_released", node=action.node_name, command_id=str(record.command.id))
