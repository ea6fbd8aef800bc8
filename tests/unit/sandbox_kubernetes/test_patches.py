"""The three patch types, on what the product and kubectl really send."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.kubernetes import patches
from deploy.sandbox.kubernetes.errors import ApiError
from deploy.sandbox.kubernetes.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH

NODE = {
    "metadata": {"name": "n"},
    "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "unschedulable": True},
}
WORKLOAD = {
    "spec": {
        "containers": [
            {"name": "app", "image": "a:1", "env": [{"name": "X", "value": "1"}]},
            {"name": "side", "image": "s:1"},
        ]
    }
}
json_objects = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.recursive(
        st.integers() | st.booleans() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def test_merge_patch_replaces_lists_and_drops_nulls() -> None:
    result = patches.apply(NODE, {"spec": {"taints": [], "unschedulable": None}}, MERGE_PATCH)
    assert result["spec"] == {"taints": []}


def test_strategic_patch_merges_lists_by_key() -> None:
    patch = {"spec": {"containers": [{"name": "app", "env": [{"name": "Y", "value": "2"}]}]}}
    result = patches.apply(WORKLOAD, patch, STRATEGIC_PATCH)
    app, side = result["spec"]["containers"]
    assert app == {
        "name": "app",
        "image": "a:1",
        "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
    }
    assert side["image"] == "s:1"


def test_strategic_patch_deletes_one_element() -> None:
    patch = {"spec": {"taints": [{"key": "a", "$patch": "delete"}, {"key": "b", "effect": "NoExecute"}]}}
    assert patches.apply(NODE, patch, STRATEGIC_PATCH)["spec"]["taints"] == [
        {"key": "b", "effect": "NoExecute"}
    ]


def test_json_patch_operations() -> None:
    operations: list[Any] = [
        {"op": "test", "path": "/spec/unschedulable", "value": True},
        {"op": "replace", "path": "/spec/unschedulable", "value": False},
        {"op": "add", "path": "/spec/taints/-", "value": {"key": "b"}},
        {"op": "remove", "path": "/spec/taints/0"},
        {"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}},
        {"op": "copy", "from": "/metadata/labels/a~1b", "path": "/metadata/copied"},
    ]
    result = patches.apply(NODE, operations, JSON_PATCH)
    assert result["spec"] == {"taints": [{"key": "b"}], "unschedulable": False}
    assert result["metadata"]["copied"] == "c"


@pytest.mark.parametrize(
    ("patch", "content_type", "code"),
    [
        ([{"op": "test", "path": "/metadata/name", "value": "other"}], JSON_PATCH, 422),
        ([{"op": "remove", "path": "/spec/nothing"}], JSON_PATCH, 422),
        ({"a": 1}, JSON_PATCH, 400),
        ([], MERGE_PATCH, 400),
        ({}, "application/apply-patch+yaml", 415),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: Any, content_type: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        patches.apply(NODE, patch, content_type)
    assert caught.value.code == code


@given(json_objects, json_objects)
def test_merge_patch_is_idempotent_and_leaves_its_input_alone(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = patches.apply(target, patch, MERGE_PATCH)
    assert target == before
    assert patches.apply(once, patch, MERGE_PATCH) == once
