"""Selectors as they stand in URLs and in specs."""

import pytest

from deploy.sandbox.kubernetes.errors import ApiError
from deploy.sandbox.kubernetes.selectors import field_query, label_query, selector

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app in (api, web),tier", True),
        ("app notin (web)", False),
        ("!app", False),
        ("!gone,app", True),
        ("gone!=x", True),
        ("", True),
    ],
)
def test_label_queries(text: str, expected: bool) -> None:  # noqa: FBT001
    assert label_query(text)(LABELS) is expected


def test_field_queries() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert field_query("spec.nodeName=n,status.phase!=Failed")(pod)
    assert not field_query("metadata.name=q")(pod)
    with pytest.raises(ApiError, match="field label not supported"):
        field_query("spec.colour=red")


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selector(None)(LABELS)
    assert selector({})(LABELS)
    assert selector({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]})(LABELS)
