"""Answer commands: checked first, carried out once, remembered by their id.

The executor repeats a command until it has an outcome. So an answer comes within seconds, also while a drain takes
minutes; the same id never starts twice; and after a restart of the agent the next repetition takes up what was begun.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from pydantic import ValidationError

from agent import metrics
from agent.domain import command_check
from agent.domain.command_check import CommandFacts, Limits
from agent.errors import KubernetesRefusedError, KubernetesUnavailableError, MalformedCommandError
from agent.handlers.drain_node import Progress, drain_node, release_node
from agent.handlers.perform_action import perform_action
from agent.ports import Cluster, CommandJournal, CommandRecord, Outbox
from shared.contracts.v1.agent import (
    AgentCommand,
    CommandFinished,
    CommandOutcome,
    DrainNode,
    EvictPod,
    ExecuteCommand,
    OutcomeStatus,
    PatchRequests,
    ScaleWorkload,
    UncordonNode,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

ANSWER_WITHIN_SECONDS = 3.0
"""An asker that waits longer would take us for gone."""
RETRY_SECONDS = 1.0


def due_at(command: AgentCommand) -> datetime:
    """Give when a command should have come to an end."""
    action = command.action
    return (
        max(command.expires_at, action.deadline_at) if isinstance(action, DrainNode) else command.expires_at
    )


class CommandDesk:
    """Takes commands, and runs each in a task of its own."""

    def __init__(
        self,
        *,
        cluster_id: str,
        signing_keys: Mapping[str, bytes],
        limits: Limits,
        cluster: Cluster,
        journal: CommandJournal,
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
        abandoned_after: timedelta,
        answer_within_seconds: float = ANSWER_WITHIN_SECONDS,
    ) -> None:
        self._cluster_id = cluster_id
        self._signing_keys = signing_keys
        self._limits = limits
        self._cluster = cluster
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._ids = ids
        self._abandoned_after = abandoned_after
        self._answer_within = answer_within_seconds
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._progress: dict[UUID, Progress] = {}
        self._drains = asyncio.Semaphore(limits.max_drains_in_parallel)

    async def answer(self, request: ExecuteCommand) -> CommandOutcome:
        """Check a command, carry it out or look how far it is.

        Raises:
            MalformedCommandError: it is no command.
        """
        try:
            command = AgentCommand.model_validate_json(request.body)
        except ValidationError as error:
            raise MalformedCommandError(f"no command: {error.errors()[0]['msg']}") from error
        problem = command_check.signature_problem(
            body=request.body,
            key_id=request.key_id,
            signature=request.signature,
            keys=self._signing_keys,
        )
        if problem is not None:
            return self._refuse(command, problem)
        record = self._journal.get(command.id)
        if record is not None and command.fencing_token >= record.fencing_token and self._is_settled(record):
            if command.fencing_token > record.fencing_token:
                self._journal.put(replace(record, fencing_token=command.fencing_token))
            return await self._status_soon(command.id)
        problem = command_check.reason_to_refuse(
            _facts(command),
            cluster_id=self._cluster_id,
            now=self._clock.now(),
            highest_token=None if record is None else record.fencing_token,
            limits=self._limits,
        )
        if problem is not None:
            return self._refuse(command, problem)
        self._start(command)
        return await self._status_soon(command.id)

    def is_running(self, command_id: UUID) -> bool:
        """Whether a task is at it."""
        return command_id in self._tasks

    def finish(self, record: CommandRecord, outcome: CommandOutcome) -> None:
        """Remember an outcome and tell it."""
        self._journal.put(replace(record, outcome=outcome))
        event = CommandFinished.make(
            scope=self._cluster_id, clock=self._clock, ids=self._ids, outcome=outcome
        )
        self._outbox.add(event)
        kind = record.command.action.kind
        metrics.commands_answered.labels(kind, outcome.status.value).inc()
        log.info(
            "command_finished",
            command_id=str(outcome.command_id),
            action=kind,
            status=outcome.status.value,
            detail=outcome.detail,
        )

    async def stop(self) -> None:
        """End the tasks; what they began is taken up, or undone, after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_settled(self, record: CommandRecord) -> bool:
        return record.outcome.status is not OutcomeStatus.RUNNING or self.is_running(record.command.id)

    async def _status_soon(self, command_id: UUID) -> CommandOutcome:
        """Give the outcome, or how far it is when the asker should not wait any longer."""
        task = self._tasks.get(command_id)
        if task is not None:
            await asyncio.wait({task}, timeout=self._answer_within)
        return self._status(command_id)

    def _refuse(self, command: AgentCommand, problem: str) -> CommandOutcome:
        metrics.commands_answered.labels(command.action.kind, OutcomeStatus.REFUSED.value).inc()
        log.warning(
            "command_refused", command_id=str(command.id), action=command.action.kind, problem=problem
        )
        return CommandOutcome(command_id=command.id, status=OutcomeStatus.REFUSED, detail=problem)

    def _status(self, command_id: UUID) -> CommandOutcome:
        record = self._journal.get(command_id)
        if record is None:
            raise MalformedCommandError(f"command {command_id} is not known here")
        progress = self._progress.get(command_id)
        if record.outcome.status is not OutcomeStatus.RUNNING or progress is None:
            return record.outcome
        return CommandOutcome(
            command_id=command_id,
            status=OutcomeStatus.RUNNING,
            blocked_by=tuple(sorted(progress.blocked)),
            pods_evicted=progress.pods_evicted,
            pods_remaining=progress.pods_remaining,
        )

    def _start(self, command: AgentCommand) -> None:
        record = CommandRecord(
            command=command,
            fencing_token=command.fencing_token,
            outcome=CommandOutcome(command_id=command.id, status=OutcomeStatus.RUNNING),
        )
        self._journal.put(record)
        if isinstance(command.action, DrainNode | UncordonNode):
            self._overtake(command.action.node_name)
        log.info("command_started", command_id=str(command.id), action=command.action.kind)
        self._progress[command.id] = Progress()
        task = asyncio.create_task(self._run(command), name=f"command-{command.id}")
        self._tasks[command.id] = task
        task.add_done_callback(lambda done: self._ended(command.id, done))

    def _overtake(self, node_name: str) -> None:
        """Stop drains of a node that a later command is about."""
        for command_id, progress in self._progress.items():
            record = self._journal.get(command_id)
            action = None if record is None else record.command.action
            if isinstance(action, DrainNode) and action.node_name == node_name:
                progress.is_overtaken = True

    def _ended(self, command_id: UUID, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("outcome_not_kept", command_id=str(command_id), error=repr(task.exception()))
        self._tasks.pop(command_id, None)
        self._progress.pop(command_id, None)

    async def _run(self, command: AgentCommand) -> None:
        progress = self._progress[command.id]
        last_moment = due_at(command) + self._abandoned_after
        outcome: CommandOutcome | None = None
        while outcome is None:
            try:
                outcome = await self._try(command, progress)
            except KubernetesUnavailableError as error:
                log.warning("command_waits", command_id=str(command.id), error=str(error))
                if self._clock.now() >= last_moment:
                    return  # the journal still calls it unfinished: it is undone as soon as that is possible
                await self._clock.sleep(RETRY_SECONDS)
        record = self._journal.get(command.id)
        if record is not None:
            self.finish(record, outcome)

    async def _try(self, command: AgentCommand, progress: Progress) -> CommandOutcome:
        try:
            return await self._carry_out(command, progress)
        except KubernetesUnavailableError:
            raise
        except Exception as error:
            if not isinstance(error, KubernetesRefusedError):
                log.exception("command_failed", command_id=str(command.id))
            if isinstance(command.action, DrainNode) and not command.action.keep_cordoned_on_failure:
                await release_node(
                    command_id=command.id,
                    node_name=command.action.node_name,
                    cluster=self._cluster,
                    why=str(error),
                )
            detail = str(error) or repr(error)
            return CommandOutcome(command_id=command.id, status=OutcomeStatus.FAILED, detail=detail)

    async def _carry_out(self, command: AgentCommand, progress: Progress) -> CommandOutcome:
        action = command.action
        if not isinstance(action, DrainNode):
            if self._clock.now() >= command.expires_at:
                return CommandOutcome(
                    command_id=command.id,
                    status=OutcomeStatus.FAILED,
                    detail="Kubernetes did not answer before the command expired",
                )
            return await perform_action(command_id=command.id, action=action, cluster=self._cluster)
        if action.keep_cordoned_on_failure:
            return await self._drain(command.id, action, progress)
        async with self._drains:
            return await self._drain(command.id, action, progress)

    async def _drain(self, command_id: UUID, action: DrainNode, progress: Progress) -> CommandOutcome:
        return await drain_node(
            command_id=command_id,
            action=action,
            cluster=self._cluster,
            clock=self._clock,
            limits=self._limits,
            progress=progress,
        )


def _facts(command: AgentCommand) -> CommandFacts:
    action = command.action
    namespace = action.namespace if isinstance(action, EvictPod | PatchRequests | ScaleWorkload) else None
    return CommandFacts(command.cluster_id, command.fencing_token, command.expires_at, namespace)
