"""Who may say what on the bus, as the table alone decides it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.subjects import SUBJECTS, Subject
from shared.runtime import streams

SERVICES = ("gateway", "pricing", "optimizer", "executor", "reporting")
SYSTEM = ("$JS.", "$KV.", "$O.", "$SYS.", "_INBOX")

tokens = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=64)


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS pattern covers a subject, by NATS' rules."""
    wanted, given_tokens = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given_tokens) > index
        if index >= len(given_tokens) or token not in ("*", given_tokens[index]):
            return False
    return len(wanted) == len(given_tokens)


def may_publish(service: str, subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in streams.service_permissions(service).publish)


def may_subscribe(service: str, subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in streams.service_permissions(service).subscribe)


def is_event(subject: Subject) -> bool:
    return ".evt." in subject.pattern


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_its_own_events_and_nobody_elses(service: str) -> None:
    for subject in filter(is_event, SUBJECTS):
        assert may_publish(service, subject.for_scope("c1")) == (subject.owner == service), subject.pattern


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_asks_only_what_the_table_lets_it_ask(service: str) -> None:
    for subject in SUBJECTS:
        if subject.reply is not None:
            assert may_publish(service, subject.for_scope("c1")) == (service in subject.consumers)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_serves_only_its_own_requests(service: str) -> None:
    for subject in SUBJECTS:
        if subject.reply is not None:
            assert may_subscribe(service, subject.for_scope("c1")) == (service == subject.owner)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_streams_through_its_own_durables_only(service: str) -> None:
    assert not any(may_subscribe(service, s.for_scope("c1")) for s in SUBJECTS if s.stream is not None)
    for consumer in streams.consumers():
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.durable}"
        assert may_publish(service, pull) == (consumer.durable.partition("-")[0] == service)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("verb", ["CREATE", "UPDATE", "DELETE", "PURGE"])
def test_no_service_changes_a_stream_or_the_switch_of_others(service: str, verb: str) -> None:
    for config in streams.stream_configs():
        assert not may_publish(service, f"$JS.API.STREAM.{verb}.{config.name}")
    assert not may_publish(service, f"$JS.API.STREAM.{verb}.KV_{streams.SAFE_MODE_BUCKET}")
    assert may_publish(service, f"$KV.{streams.SAFE_MODE_BUCKET}.global") == (service == "gateway")


@pytest.mark.parametrize("service", SERVICES)
def test_only_pricing_writes_flags_and_price_tables(service: str) -> None:
    assert may_publish(service, f"$KV.{streams.FLAG_BUCKET}.us-east-1.x") == (service == "pricing")
    assert may_publish(service, f"$O.{streams.PRICE_TABLE_BUCKET}.M.x") == (service == "pricing")
    for stream in (f"KV_{streams.FLAG_BUCKET}", f"OBJ_{streams.PRICE_TABLE_BUCKET}"):
        assert not may_publish(service, f"$JS.API.STREAM.DELETE.{stream}")


def test_only_the_executor_commands_agents() -> None:
    commands = [s for s in SUBJECTS if s.owner == "agent" and s.reply is not None]
    assert commands
    for subject in commands:
        assert [s for s in SERVICES if may_publish(s, subject.for_scope("c1"))] == ["executor"]


def test_only_the_gateway_hears_who_knocks() -> None:
    assert [s for s in SERVICES if may_subscribe(s, "$SYS.REQ.USER.AUTH")] == ["gateway"]


@given(own=tokens, other=tokens)
def test_an_agent_reaches_its_own_cluster_only(own: str, other: str) -> None:
    for allowed in (streams.agent_permissions(own), streams.enrolment_permissions(own)):
        every = [*allowed.publish, *allowed.subscribe]
        assert not any("*" in pattern for pattern in every)
        for subject in SUBJECTS:
            for pattern in every:
                assert other == own or not matches(pattern, subject.for_scope(other))
        assert [p for p in allowed.subscribe if ">" in p] == [f"_INBOX_{own}.>"]
        assert not any(pattern.startswith(SYSTEM) for pattern in allowed.publish)


def test_an_enrolled_agent_tells_its_events_and_hears_its_orders() -> None:
    allowed = streams.agent_permissions("c1")
    own = [s for s in SUBJECTS if s.owner == "agent"]
    assert set(allowed.publish) == {s.for_scope("c1") for s in own if is_event(s)}
    assert set(allowed.subscribe) - {"_INBOX_c1.>"} == {s.for_scope("c1") for s in own if not is_event(s)}


def test_an_install_token_buys_one_request() -> None:
    assert list(streams.enrolment_permissions("c1").publish) == ["gateway.rpc.v1.enroll_agent.c1"]
