"""Commands as they come from the bus: wire message to handler, and the answer back."""

import json
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from agent.errors import MalformedCommandError
from agent.handlers.execute_command import CommandDesk
from agent.handlers.publish_state import StatePublisher
from shared.contracts.subjects import subject_of
from shared.contracts.v1.agent import ExecuteCommand, RequestResync
from shared.kernel.errors import PermanentError

log = structlog.get_logger(__name__)

ERROR_HEADER = "Spot-Error"


class Incoming(Protocol):
    """A message and its answer, as the bus has them."""

    data: bytes

    async def answer(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send the answer, if one is waited for."""
        ...


def subscribe(
    *, cluster_id: str, desk: CommandDesk, publisher: StatePublisher, on: Callable[[str, Any], None]
) -> None:
    """Register both subjects; `on` takes a subject and what to call."""

    async def execute(message: Incoming) -> None:
        try:
            request = ExecuteCommand.model_validate_json(message.data)
            if request.scope != cluster_id:
                raise MalformedCommandError(f"the body is about {request.scope}")
            structlog.contextvars.bind_contextvars(correlation_id=str(request.correlation_id))
            outcome = await desk.answer(request)
        except Exception as error:
            is_permanent = isinstance(error, PermanentError | ValidationError)
            log.warning("command_not_answered", error=repr(error), exc_info=not is_permanent)
            body = json.dumps({"message": str(error), "permanent": is_permanent}).encode()
            await message.answer(body, {ERROR_HEADER: type(error).__name__})
            return
        await message.answer(outcome.model_dump_json().encode())

    async def resync(message: Incoming) -> None:
        try:
            command = RequestResync.model_validate_json(message.data)
        except ValidationError as error:
            log.warning("resync_malformed", error=str(error))
            return
        publisher.ask_snapshot(command.reason)

    on(subject_of(ExecuteCommand).for_scope(cluster_id), execute)
    on(subject_of(RequestResync).for_scope(cluster_id), resync)
