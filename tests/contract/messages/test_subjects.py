"""The table's grammar: what streams, permissions and consumers are made from."""

import re
from collections import Counter

import pytest

from deploy.tools.schemas import snake
from shared.contracts import base
from shared.contracts.subjects import BY_TYPE, SUBJECTS, Subject, subject_of
from shared.contracts.v1 import agent, executor, gateway, optimizer, pricing, reporting
from shared.runtime import streams

MODULES = (agent, executor, gateway, optimizer, pricing, reporting)
OWNERS = {module.__name__.rsplit(".", 1)[1] for module in MODULES}
SERVICES = OWNERS - {"agent"}
GRAMMAR = re.compile(
    r"(?P<owner>[a-z]+)\.(?P<kind>evt|cmd|rpc)\.v(?P<major>[1-9][0-9]*)\.(?P<name>[a-z][a-z0-9_]*)"
)
KINDS: dict[str, type[base.Message] | tuple[type[base.Message], ...]] = {
    "evt": base.Event,
    "cmd": (base.Command, base.Request),
    "rpc": base.Request,
}
IRREGULAR_PAST = {"sent"}

each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.message.type)


def parts(subject: Subject) -> dict[str, str]:
    match = GRAMMAR.fullmatch(subject.message.type)
    assert match, subject.message.type
    return match.groupdict()


def declared() -> set[type[base.Message]]:
    """Every message class of the contracts."""
    return {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base.Message) and value.__module__ == module.__name__
    }


@each_subject
def test_a_type_is_owner_kind_version_name(subject: Subject) -> None:
    assert parts(subject)["owner"] in OWNERS
    assert subject.owner == parts(subject)["owner"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", token) for token in subject.message.type.split("."))


@each_subject
def test_the_owner_is_the_module_that_declares_the_message(subject: Subject) -> None:
    assert subject.message.__module__ == f"shared.contracts.{_version(subject)}.{subject.owner}"


def _version(subject: Subject) -> str:
    return f"v{parts(subject)['major']}"


@each_subject
def test_the_name_is_the_class_in_snake_case(subject: Subject) -> None:
    assert subject.name == snake(subject.message.__name__)


@each_subject
def test_the_class_is_of_its_subjects_kind(subject: Subject) -> None:
    assert issubclass(subject.message, KINDS[parts(subject)["kind"]])


@each_subject
def test_events_are_told_in_the_past_tense_and_nothing_else_is(subject: Subject) -> None:
    last = subject.name.rsplit("_", 1)[1]
    is_past = any(word.endswith("ed") or word in IRREGULAR_PAST for word in subject.name.split("_"))
    is_adjective = last in {"insufficient"}
    assert (is_past or is_adjective) == (parts(subject)["kind"] == "evt")


@each_subject
def test_a_request_has_a_reply_and_no_stream(subject: Subject) -> None:
    is_request = issubclass(subject.message, base.Request)
    assert (subject.reply is not None) == is_request
    if is_request:
        assert subject.stream is None


@each_subject
def test_a_stream_is_its_owners_and_kinds(subject: Subject) -> None:
    if subject.stream is not None:
        assert subject.stream == f"{subject.owner}_{parts(subject)['kind']}".upper()
        assert subject.retention_hours > 0
    if parts(subject)["kind"] == "evt":
        assert subject.stream is not None


@each_subject
def test_scopes_and_consumers_are_known(subject: Subject) -> None:
    assert subject.scope in {"cluster", "organization", "region", "global"}
    assert set(subject.consumers) <= OWNERS
    assert len(set(subject.consumers)) == len(subject.consumers)
    if subject.stream is not None:
        assert "agent" not in subject.consumers, "agents use no consumer"


def test_types_are_unique_and_the_table_holds_every_message() -> None:
    assert len(BY_TYPE) == len(SUBJECTS)
    assert {s.message for s in SUBJECTS} == declared()
    assert all(subject_of(message) is BY_TYPE[message.type] for message in declared())


def test_durable_names_are_unique_and_within_nats_grammar() -> None:
    durables = [c.durable for c in streams.consumers()]
    assert [d for d, n in Counter(durables).items() if n > 1] == []
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", d) for d in durables)


def test_every_stream_holds_exactly_its_owners_subjects() -> None:
    patterns = {config.name: config.subjects or [] for config in streams.stream_configs()}
    for subject in SUBJECTS:
        holding = [
            name
            for name, held in patterns.items()
            if any(subject.pattern.startswith(p.removesuffix(">")) for p in held)
        ]
        assert holding == ([subject.stream] if subject.stream else []), subject.message.type
