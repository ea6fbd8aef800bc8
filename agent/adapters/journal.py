"""Commands and their outcomes, in a file that is small enough to be written anew each time."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from agent.adapters.credential_store import write_private
from agent.errors import MisconfiguredError
from agent.ports import CommandRecord
from shared.contracts.v1.agent import OutcomeStatus

log = structlog.get_logger(__name__)

FILE_NAME = "commands.json"
EPOCH_FILE_NAME = "epoch"
FINISHED_KEPT = 200
"""The executor repeats a command for minutes at most; this many are days of work."""

_records = TypeAdapter(list[CommandRecord])


class FileCommandJournal:
    """See agent.ports.CommandJournal."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._records: dict[UUID, CommandRecord] = {}
        if not self._path.exists():
            return
        try:
            for record in _records.validate_json(self._path.read_bytes()):
                self._records[record.command.id] = record
        except (ValidationError, OSError) as error:
            # Nothing is lost that the executor does not ask for again.
            log.error("journal_unreadable", path=str(self._path), error=str(error)[:300])

    def get(self, command_id: UUID) -> CommandRecord | None:
        """Return a command by its id."""
        return self._records.get(command_id)

    def put(self, record: CommandRecord) -> None:
        """Keep it; on return it is stored."""
        self._records.pop(record.command.id, None)
        self._records[record.command.id] = record
        finished = [
            key for key, kept in self._records.items() if kept.outcome.status is not OutcomeStatus.RUNNING
        ]
        for key in finished[: max(len(finished) - FINISHED_KEPT, 0)]:
            del self._records[key]
        write_private(self._path, _records.dump_json(list(self._records.values())).decode())

    def unfinished(self) -> Sequence[CommandRecord]:
        """Return those that have no outcome yet."""
        return [r for r in self._records.values() if r.outcome.status is OutcomeStatus.RUNNING]


def read_epoch(state_dir: Path) -> int:
    """Return the last epoch that was used, 0 when none is known."""
    try:
        return int((state_dir / EPOCH_FILE_NAME).read_text())
    except (OSError, ValueError):
        return 0


def write_epoch(state_dir: Path, epoch: int) -> None:
    """Keep the epoch.

    Raises:
        MisconfiguredError: the state folder cannot be written.
    """
    try:
        write_private(state_dir / EPOCH_FILE_NAME, str(epoch))
    except OSError as error:
        raise MisconfiguredError(
            f"the state folder {state_dir} cannot be written: {error.strerror}"
        ) from error
