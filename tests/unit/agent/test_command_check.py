"""Which commands may run."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.domain.command_check import CommandFacts, Limits, reason_to_refuse, signature_problem
from tests.fakes.agent import START

GOOD = CommandFacts("c1", 5, START + timedelta(minutes=1), "shop")
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
KEYS = {"k1": KEY.public_key().public_bytes_raw()}


@pytest.mark.parametrize(
    ("facts", "highest", "limits", "words"),
    [
        pytest.param(GOOD, None, Limits(), None, id="good"),
        pytest.param(GOOD, 5, Limits(), None, id="the same token again"),
        pytest.param(replace(GOOD, cluster_id="c2"), None, Limits(), "for cluster c2", id="other cluster"),
        pytest.param(replace(GOOD, expires_at=START), None, Limits(), "expired", id="expires now"),
        pytest.param(GOOD, 6, Limits(), "fencing token 5 is older than 6", id="stale token"),
        pytest.param(GOOD, None, Limits(is_dry_run=True), "dry run", id="dry run"),
        pytest.param(
            GOOD, None, Limits(excluded_namespaces=frozenset({"shop"})), "shop is excluded", id="excluded"
        ),
        pytest.param(
            replace(GOOD, namespace=None),
            None,
            Limits(excluded_namespaces=frozenset({"shop"})),
            None,
            id="a node has no namespace",
        ),
    ],
)
def test_reasons(facts: CommandFacts, highest: int | None, limits: Limits, words: str | None) -> None:
    reason = reason_to_refuse(facts, cluster_id="c1", now=START, highest_token=highest, limits=limits)
    assert (reason is None) if words is None else (reason is not None and words in reason)


def test_a_signature_counts_only_for_its_body_and_a_known_key() -> None:
    signature = KEY.sign(b"body")
    assert signature_problem(body=b"body", key_id="k1", signature=signature, keys=KEYS) is None
    assert "wrong" in str(signature_problem(body=b"other", key_id="k1", signature=signature, keys=KEYS))
    assert "not enrolled" in str(signature_problem(body=b"body", key_id="k2", signature=signature, keys=KEYS))
    assert "wrong" in str(signature_problem(body=b"body", key_id="k1", signature=b"short", keys=KEYS))
