"""Who may do what on the bus, made from the subject table."""

import re

import pytest

from deploy.local.schemas import SERVICES
from shared.contracts.subjects import SUBJECTS
from shared.runtime import streams


def allows(patterns: object, subject: str) -> bool:
    """Whether one of NATS' patterns matches a subject."""
    assert isinstance(patterns, (list, tuple))
    return any(
        re.fullmatch(re.escape(p).replace(r"\*", "[^.]+").replace(r"\.>", r"\..+"), subject) for p in patterns
    )


def test_the_matcher_knows_both_wildcards() -> None:
    assert allows(["a.*.c", "d.>"], "a.b.c")
    assert allows(["a.*.c", "d.>"], "d.e.f")
    assert not allows(["a.*.c", "d.>"], "a.b.b.c")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_its_own_events_and_no_others(service: str) -> None:
    may = streams.service_permissions(service).publish
    for subject in SUBJECTS:
        if subject.stream is not None and ".evt." in subject.pattern:
            assert allows(may, subject.for_scope("c1")) is (subject.owner == service), subject.pattern


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_consumers_only_and_manages_no_stream(service: str) -> None:
    may = streams.service_permissions(service).publish
    for consumer in streams.consumers():
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.durable}"
        assert allows(may, pull) is consumer.durable.startswith(f"{service}-")
        assert not allows(may, f"$JS.API.CONSUMER.DELETE.{consumer.stream}.{consumer.durable}")
        assert not allows(may, f"$JS.API.STREAM.DELETE.{consumer.stream}")


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_gateway_turns_safe_mode(service: str) -> None:
    may = streams.service_permissions(service).publish
    assert allows(may, "$KV.SAFE_MODE.global") is (service == "gateway")
    assert allows(may, "$JS.API.DIRECT.GET.KV_SAFE_MODE.$KV.SAFE_MODE.global")


def test_an_agent_speaks_for_its_own_cluster_only() -> None:
    may = streams.agent_permissions("c1")
    for subject in SUBJECTS:
        mine, theirs = subject.for_scope("c1"), subject.for_scope("c2")
        is_own_event = subject.owner == "agent" and subject.stream is not None
        assert allows(may.publish, mine) is is_own_event
        assert not allows(may.publish, theirs)
        assert not allows(may.subscribe, theirs)
    assert not any(allows(may.publish, s) for s in ("$JS.API.INFO", "$KV.SAFE_MODE.global", "dlq.x"))
    assert not allows(may.subscribe, "_INBOX.other")


def test_an_install_token_allows_one_request() -> None:
    may = streams.enrolment_permissions("c1")
    assert list(may.publish) == ["gateway.rpc.v1.enroll_agent.c1"]
