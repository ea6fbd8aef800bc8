"""Signed commands to agents, as core requests: the step is the durable record, not the bus."""

from datetime import timedelta

from services.executor.adapters.signing_keys import StoredSigningKeys
from services.executor.errors import AgentAwayError
from shared.contracts.v1.agent import AgentCommand, CommandOutcome, ExecuteCommand, OutcomeStatus
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, UnavailableError
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus


class BusAgents:
    """See ports.Agents."""

    def __init__(
        self, bus: Bus, *, keys: StoredSigningKeys, clock: Clock, ids: Ids, timeout: timedelta
    ) -> None:
        self._bus = bus
        self._keys = keys
        self._clock = clock
        self._ids = ids
        self._timeout = timeout

    async def send(self, command: AgentCommand) -> CommandOutcome:
        """See the port; what is signed is sent byte for byte."""
        body = command.model_dump_json().encode()
        key_id, signature = self._keys.sign(body)
        request = ExecuteCommand.make(
            scope=command.cluster_id,
            clock=self._clock,
            ids=self._ids,
            body=body,
            key_id=key_id,
            signature=signature,
        )
        try:
            outcome = await self._bus.ask(
                request, CommandOutcome, timeout_seconds=self._timeout.total_seconds()
            )
        except UnavailableError as error:
            raise AgentAwayError(str(error)) from error
        except PermanentError as error:
            return CommandOutcome(
                command_id=command.id, status=OutcomeStatus.REFUSED, detail=str(error)[:200]
            )
        if outcome.command_id != command.id:
            raise AgentAwayError("the agent answered about another command")
        return outcome
