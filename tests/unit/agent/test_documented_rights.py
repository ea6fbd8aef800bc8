"""What docs/agent.md tells people to grant is what the agent asks the API for."""

import re
from pathlib import Path

import pytest
import yaml

from agent.adapters import kube_watch

PAGE = Path(__file__).parents[3] / "docs" / "agent.md"

ACTS = [
    ("", "nodes", "patch"),
    ("", "nodes", "delete"),
    ("", "pods/eviction", "create"),
    ("", "events", "create"),
    ("metrics.k8s.io", "pods", "list"),
]


def granted() -> set[tuple[str, str, str]]:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return {
        (group, resource, verb)
        for role in yaml.safe_load_all(block)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("path", kube_watch.PATHS.values())
def test_every_watched_kind_may_be_listed_and_watched(path: str) -> None:
    *_, group, _version, resource = ("", *path.removeprefix("/apis/").removeprefix("/api/").split("/"))
    assert {(group, resource, verb) for verb in ("list", "watch")} <= granted()


@pytest.mark.parametrize("right", ACTS)
def test_what_a_plan_needs_is_granted(right: tuple[str, str, str]) -> None:
    assert right in granted()


def test_nothing_that_holds_secrets_is_granted() -> None:
    assert not {resource for _, resource, _ in granted()} & {"*", "secrets", "configmaps"}
