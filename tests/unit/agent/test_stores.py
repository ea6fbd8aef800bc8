"""What the agent keeps on its disk."""

import stat
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from agent.adapters import journal as journals
from agent.adapters.credential_store import FileCredentialStore
from agent.errors import MisconfiguredError
from agent.ports import CommandRecord, Credential
from shared.contracts.v1.agent import AgentCommand, CommandOutcome, CordonNode, OutcomeStatus
from tests.fakes.agent import START


def record(number: int, status: OutcomeStatus) -> CommandRecord:
    command = AgentCommand(
        id=UUID(int=number),
        cluster_id="c1",
        fencing_token=1,
        expires_at=START + timedelta(minutes=1),
        action=CordonNode(node_name="n1"),
    )
    return CommandRecord(command, 1, CommandOutcome(command_id=command.id, status=status))


def test_commands_survive_a_restart_and_only_the_oldest_finished_are_forgotten(tmp_path: Path) -> None:
    journal = journals.FileCommandJournal(tmp_path)
    journal.put(record(0, OutcomeStatus.RUNNING))
    for number in range(1, journals.FINISHED_KEPT + 3):
        journal.put(record(number, OutcomeStatus.SUCCEEDED))
    again = journals.FileCommandJournal(tmp_path)
    assert [found.command.id.int for found in again.unfinished()] == [0]
    assert again.get(UUID(int=2)) is None
    assert again.get(UUID(int=3)) == record(3, OutcomeStatus.SUCCEEDED)


def test_a_journal_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / journals.FILE_NAME).write_text("[{")
    assert journals.FileCommandJournal(tmp_path).unfinished() == []


async def test_a_credential_is_nobody_elses_to_read_and_hides_its_token(tmp_path: Path) -> None:
    store = FileCredentialStore(tmp_path / "new")
    assert await store.load() is None
    credential = Credential("c1", "hunter2", {"k1": b"\x01" * 32})
    await store.save(credential)
    assert await store.load() == credential
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "hunter2" not in repr(credential)


def test_a_state_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MisconfiguredError, match="cannot be written"):
        journals.write_epoch(tmp_path / "file", 1)
    journals.write_epoch(tmp_path, 7)
    assert journals.read_epoch(tmp_path) == 7
