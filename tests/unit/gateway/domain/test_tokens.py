"""Tokens: read, matched, expired."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.tokens import (
    InstallToken,
    Token,
    TokenKind,
    digest,
    is_match,
    matching_install_token,
    read_token,
)
from tests.fakes.gateway import START

LIFETIME, REUSE = timedelta(days=7), timedelta(hours=24)
parts = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@given(kind=st.sampled_from(TokenKind), subject_id=parts, secret=parts)
def test_what_is_written_is_read(kind: TokenKind, subject_id: str, secret: str) -> None:
    token = Token(kind, subject_id, secret)
    assert read_token(str(token)) == token
    assert is_match(secret, digest(secret))
    assert not is_match(secret + "x", digest(secret))


@given(st.text(max_size=200))
def test_any_text_is_a_token_or_none(text: str) -> None:
    token = read_token(text)
    assert token is None or str(token) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spot-agent",
        "spot-agent.a",
        "spot-agent.a.b.c",
        "spot-agent..b",
        "spot-agent.a.b\n",
        "spot-agent.*.b",
        "other.a.b",
        "spot-agent." + "a" * 65 + ".b",
    ],
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert read_token(text) is None


def test_a_secret_is_not_shown_by_accident() -> None:
    assert "hush" not in repr(Token(TokenKind.AGENT, "c", "hush"))


@pytest.mark.parametrize(
    ("age", "used_ago", "is_good"),
    [
        pytest.param(timedelta(), None, True, id="new"),
        pytest.param(LIFETIME - timedelta(seconds=1), None, True, id="just in time"),
        pytest.param(LIFETIME, None, False, id="never used in time"),
        pytest.param(timedelta(days=30), timedelta(hours=23), True, id="used, again within a day"),
        pytest.param(timedelta(days=2), timedelta(hours=24), False, id="used up"),
    ],
)
def test_an_install_token_works_for_a_while(
    age: timedelta, used_ago: timedelta | None, *, is_good: bool
) -> None:
    token = InstallToken(
        id="t",
        secret_sha256=digest("s"),
        created_at=START - age,
        first_used_at=None if used_ago is None else START - used_ago,
    )
    found = matching_install_token("s", [token], now=START, lifetime=LIFETIME, reuse=REUSE)
    assert (found is token) is is_good
    assert matching_install_token("x", [token], now=START, lifetime=LIFETIME, reuse=REUSE) is None
