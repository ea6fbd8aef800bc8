"""Undo what nobody finishes: no node stays cordoned by a command that did not end."""

from datetime import timedelta

from agent.handlers.drain_node import release_node
from agent.handlers.execute_command import CommandDesk, due_at
from agent.ports import Cluster, CommandJournal
from shared.contracts.v1.agent import CommandOutcome, CordonNode, DrainNode, OutcomeStatus
from shared.kernel.clock import Clock


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
        action = command.action
        if isinstance(action, CordonNode | DrainNode) and not _stays_cordoned(action):
            why = f"the {action.kind} {command.id} was begun and never finished"
            await release_node(command_id=command.id, node_name=action.node_name, cluster=cluster, why=why)
        outcome = CommandOutcome(
            command_id=command.id,
            status=OutcomeStatus.FAILED,
            detail="begun, then neither finished nor asked for again; what it began was undone",
        )
        desk.finish(record, outcome)
        released += 1
    return released


def _stays_cordoned(action: CordonNode | DrainNode) -> bool:
    return isinstance(action, DrainNode) and action.keep_cordoned_on_failure
