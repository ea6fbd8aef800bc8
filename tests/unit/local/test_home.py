"""The state folder: private, whole or not written at all, one stack at a time."""

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.home import Home, default_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a home")
    home.open()
    return home


def test_it_is_where_the_variable_says_or_in_the_xdg_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_home() == tmp_path / ".local" / "state" / "spot-optimizer"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_home() == tmp_path / "state" / "spot-optimizer"
    monkeypatch.setenv("SPOTOPT_HOME", "~/mine")
    assert default_home() == tmp_path / "mine"


def test_secrets_are_made_once_and_closed_to_others(home: Home) -> None:
    made = home.secrets()
    assert home.secrets() == made
    assert stat.S_IMODE((home.path / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert len({*made.database.values(), *made.bus.values()}) == 11


def test_a_secret_that_a_newer_version_needs_is_added_to_the_old_ones(home: Home) -> None:
    made = home.secrets()
    file = home.path / "secrets.json"
    older = json.loads(file.read_text())
    del older["bus"]["pricing"]
    del older["executor_key"]
    file.write_text(json.dumps(older))
    now = home.secrets()
    assert now.gateway_key == made.gateway_key
    assert now.bus["gateway"] == made.bus["gateway"]
    assert now.bus["pricing"] not in ("", made.bus["pricing"])
    assert home.secrets() == now


def test_damaged_secrets_are_never_replaced(home: Home) -> None:
    file = home.path / "secrets.json"
    file.write_text('{"jwt_secret": ')
    with pytest.raises(StackError, match=r"secrets\.json cannot be read .*; restore it from a backup\."):
        home.secrets()
    assert file.read_text() == '{"jwt_secret": '


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(home: Home) -> None:
    file = home.path / "stack.json"
    file.write_text("old")
    file.with_suffix(f".{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(StackError, match=r"stack\.json cannot be written: No space left on device\.$"):
        home.write(file, "new")
    assert file.read_text() == "old"
    assert sorted(part.name for part in home.path.iterdir()) == ["lock", "logs", "stack.json"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot be used: Not a directory\. Set SPOTOPT_HOME to a folder"):
        Home(tmp_path / "file" / "home").open()


async def test_a_second_stack_is_refused_and_a_stopped_one_makes_room(home: Home) -> None:
    await home.lock()
    home.write(home.state_file, json.dumps({"pid": os.getpid()}))
    second = Home(home.path)
    assert second.state() == {"pid": os.getpid()}
    with pytest.raises(StackError, match="a stack already runs in"):
        await second.lock()
    home.unlock()
    await second.lock()
    second.unlock()


async def test_a_killed_stack_whose_servers_still_end_is_waited_for(home: Home) -> None:
    await home.lock()
    home.write(home.state_file, json.dumps({"pid": os.getpid()}))  # a zombie can still be signalled
    left_behind = os.dup(home.lock_descriptors[0])
    home.unlock()
    second = Home(home.path)
    assert second.state() is None
    waiting = asyncio.create_task(second.lock())
    await asyncio.sleep(0)
    os.close(left_behind)
    await waiting
    assert not second.state_file.exists()
    second.unlock()


async def test_a_server_that_outlives_its_stack_keeps_the_next_one_out(home: Home) -> None:
    await home.lock()
    left_behind = os.dup(home.lock_descriptors[0])
    home.unlock()
    second = Home(home.path)
    with pytest.raises(StackError, match="a killed one left its Postgres or nats-server behind"):
        await second.lock(leftover_seconds=0.1)
    os.close(left_behind)
    await second.lock(leftover_seconds=0.1)
    second.unlock()


@pytest.mark.parametrize("left", ['{"pid": OURS}', '{"pid": 4194999}', "{", "[]", "{}"])
async def test_what_a_crash_left_behind_is_not_taken_for_a_running_stack(home: Home, left: str) -> None:
    text = left.replace("OURS", str(os.getpid()))
    home.state_file.write_text(text)  # the first one names a process that lives, but is none of ours
    assert home.state() is None
    if "OURS" not in left:
        await home.lock()
        assert Home(home.path).state() is None
        home.unlock()


def test_a_part_gets_the_port_of_last_time_while_it_is_free(home: Home) -> None:
    first = home.usual_port("nats")
    assert Home(home.path).usual_port("nats") == first
    assert home.usual_port("gateway") != first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        another = home.usual_port("nats")
        assert another != first
    assert home.usual_port("nats") == another


@pytest.mark.parametrize("damaged", ["{", "[]", '{"nats": "x"}', '{"nats": 99999}'])
def test_a_damaged_list_of_ports_is_made_anew(home: Home, damaged: str) -> None:
    (home.path / "ports.json").write_text(damaged)
    assert 0 < home.usual_port("nats") < 65536
