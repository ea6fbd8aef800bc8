"""What is committed is what the classes read, write, and refuse."""

import base64
import json

import pytest
import zstandard
from pydantic import BaseModel, TypeAdapter, ValidationError

from deploy.tools import schemas
from shared.contracts.base import Message
from shared.contracts.digest import plan_sha256
from shared.contracts.subjects import subject_of
from shared.contracts.v1 import agent, optimizer
from shared.contracts.v1.plan import Move, Plan
from shared.kernel.workload import ClusterObjects
from shared.runtime import messaging
from tests.contract.messages.examples import CLASSES, EXAMPLES, Example, changed, enums_in, objects_in

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=str)
MESSAGES = tuple(e for e in EXAMPLES if issubclass(e.model, Message))
each_message = pytest.mark.parametrize("example", MESSAGES, ids=str)


def read(example: Example, body: object) -> BaseModel:
    return example.model.model_validate_json(json.dumps(body))


def decode(example: Example, body: dict[str, object], *, scope: str | None = None) -> Message:
    model = example.model
    assert issubclass(model, Message)
    subject = subject_of(model).for_scope(scope or str(example.body["scope"]))
    return messaging.decode(model, json.dumps(body).encode(), subject=subject)


def test_every_message_and_reply_has_an_example() -> None:
    assert {example.title for example in EXAMPLES} == set(CLASSES)


def test_names_of_files_are_unambiguous() -> None:
    assert len(schemas.schemas()) == len(CLASSES)


@each_example
def test_reading_and_writing_an_example_changes_nothing(example: Example) -> None:
    assert json.loads(read(example, example.body).model_dump_json()) == example.body


@each_example
def test_fields_of_a_newer_producer_are_ignored(example: Example) -> None:
    plain = read(example, example.body)
    for place in objects_in(example):
        assert read(example, changed(example.body, (*place, "of_a_newer_version"), {"a": [1]})) == plain, (
            place
        )


@each_example
def test_an_unknown_member_of_an_enumeration_is_malformed(example: Example) -> None:
    for place in enums_in(example):
        with pytest.raises(ValidationError):
            read(example, changed(example.body, place, "unheard_of"))


def test_the_examples_hold_enumerations_at_all() -> None:
    assert sum(len(enums_in(example)) for example in EXAMPLES) > 30


@each_message
def test_the_bus_accepts_an_example_on_its_subject(example: Example) -> None:
    assert decode(example, example.body).scope == example.body["scope"]


@each_message
def test_a_body_about_another_scope_than_its_subject_is_malformed(example: Example) -> None:
    with pytest.raises(messaging.MalformedMessageError, match="the body is about"):
        decode(example, example.body, scope="another")


@each_message
@pytest.mark.parametrize("scope", ["", "a.b", "*", ">", "a b", "x" * 65, "ü"])
def test_a_scope_that_is_no_token_is_malformed(example: Example, scope: str) -> None:
    with pytest.raises(messaging.MalformedMessageError):
        decode(example, {**example.body, "scope": scope})


@each_message
def test_a_time_without_zone_is_malformed(example: Example) -> None:
    with pytest.raises(messaging.MalformedMessageError):
        decode(example, {**example.body, "occurred_at": "2026-03-02T09:30:00"})


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b'{"id": 1}'])
def test_what_is_no_message_is_malformed(body: bytes) -> None:
    for example in MESSAGES:
        model = example.model
        assert issubclass(model, Message)
        with pytest.raises(messaging.MalformedMessageError):
            messaging.decode(model, body, subject=subject_of(model).for_scope("x"))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "cheap"])
def test_a_price_that_is_no_number_is_malformed(price: str) -> None:
    example = next(e for e in MESSAGES if e.title == "executor.instance_launched")
    with pytest.raises(messaging.MalformedMessageError):
        decode(example, {**example.body, "usd_per_hour": price})


def test_a_chunk_decodes_by_itself() -> None:
    example = next(e for e in MESSAGES if e.title == "agent.snapshot_chunk_published")
    message = decode(example, example.body)
    assert isinstance(message, agent.SnapshotChunkPublished)
    assert message.body == base64.urlsafe_b64decode(example.body["body"])
    objects = TypeAdapter(ClusterObjects).validate_json(zstandard.decompress(message.body))
    assert objects.nodes
    assert objects.pods


def test_a_signed_command_is_the_command_it_carries() -> None:
    example = next(e for e in MESSAGES if e.title == "agent.execute_command")
    message = decode(example, example.body)
    assert isinstance(message, agent.ExecuteCommand)
    command = agent.AgentCommand.model_validate_json(message.body)
    assert command.cluster_id == message.scope
    assert isinstance(command.action, agent.DrainNode)


def test_the_digest_of_a_plan_survives_the_wire() -> None:
    example = next(e for e in MESSAGES if e.title == "optimizer.plan_proposed")
    message = decode(example, example.body)
    assert isinstance(message, optimizer.PlanProposed)
    assert plan_sha256(message.plan) == message.plan_sha256
    assert plan_sha256(message.plan.model_copy(update={"nodes_after": 1})) != message.plan_sha256


def test_a_plan_from_before_a_field_was_added_keeps_its_digest() -> None:
    class LaterMove(Move):
        added: str | None = None

    class LaterPlan(Plan):
        added: tuple[str, ...] = ()
        moves: tuple[LaterMove, ...]

    example = next(e for e in MESSAGES if e.title == "optimizer.plan_proposed")
    plan = LaterPlan.model_validate(example.body["plan"])
    assert plan_sha256(plan) == example.body["plan_sha256"]
    assert plan_sha256(plan.model_copy(update={"added": ("x",)})) != example.body["plan_sha256"]


@each_example
def test_what_is_refused_is_not_repeated(example: Example) -> None:
    """The text of an error is logged and sent back; a message may hold a token or a credential."""
    with pytest.raises(ValidationError) as refused:
        read(example, [example.body])
    assert "input_value" not in str(refused.value)
    if example.body:
        broken = {key: ["a secret"] for key in example.body}
        with pytest.raises(ValidationError) as refused:
            read(example, broken)
        assert "a secret" not in str(refused.value)
