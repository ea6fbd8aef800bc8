"""Roles, passwords, addresses, session policies."""

import itertools
import json

import pytest

from services.gateway.domain.access import Permission, Role, may
from services.gateway.domain.cloud_accounts import Purpose, account_number_of, session_policy
from services.gateway.domain.people import normalized_email, password_problem


def test_each_role_may_what_the_one_below_may() -> None:
    order = [Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER]
    granted = [{permission for permission in Permission if may(role, permission)} for role in order]
    for lower, higher in itertools.pairwise(granted):
        assert lower <= higher
    assert granted[0] == {Permission.READ}
    assert Permission.CONNECT not in granted[1]
    assert granted[3] == set(Permission)


@pytest.mark.parametrize(
    ("text", "email"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("a@localhost", "a@localhost"),
        ("ada", None),
        ("@example.com", None),
        ("a@b@c", None),
        ("a b@example.com", None),
        ("a@example..com", None),
        ("a" * 300 + "@example.com", None),
    ],
)
def test_addresses(text: str, email: str | None) -> None:
    assert normalized_email(text) == email


@pytest.mark.parametrize(
    ("password", "is_fine"),
    [
        ("correct horse", True),
        ("short", False),
        ("x" * 300, False),
        ("abababababab", False),
        ("Ada@example.com", False),
    ],
)
def test_passwords(password: str, *, is_fine: bool) -> None:
    assert (password_problem(password, email="ada@example.com") is None) is is_fine


@pytest.mark.parametrize(
    ("arn", "number"),
    [
        ("arn:aws:iam::123456789012:role/spot", "123456789012"),
        ("arn:aws-cn:iam::123456789012:role/path/spot", "123456789012"),
        ("arn:aws:iam::123456789012:user/spot", None),
        ("arn:aws:iam::12:role/spot", None),
        ("arn:aws:iam::123456789012:role/spot\n", None),
    ],
)
def test_role_arns(arn: str, number: str | None) -> None:
    assert account_number_of(arn) == number


def test_reading_credentials_write_nothing_and_a_policy_fits_into_a_call() -> None:
    reading, writing = (json.dumps(session_policy(purpose)) for purpose in (Purpose.READ, Purpose.WRITE))
    for action in ("RunInstances", "TerminateInstances", "PassRole"):
        assert action not in reading
        assert action in writing
    assert len(writing) < 2048
