"""The unchanged kubernetes-asyncio client against the API: lists, watches, patches, conflicts, errors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, watch
from kubernetes_asyncio.client.exceptions import ApiException

from tests.integration.sandbox_kubernetes.world import Lab, lab, pod, workload

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        yield made


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"key": "value"}}


async def test_pages_are_one_consistent_snapshot(cluster: Lab) -> None:
    for number in range(7):
        await cluster.core.create_namespaced_config_map("default", config_map(f"m{number}"))
    first = await cluster.core.list_namespaced_config_map("default", limit=3)
    await cluster.core.delete_namespaced_config_map("m6", "default")
    names, token = [item.metadata.name for item in first.items], first.metadata._continue
    while token:
        page = await cluster.core.list_namespaced_config_map("default", limit=3, _continue=token)
        assert page.metadata.resource_version == first.metadata.resource_version
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
    assert names == [f"m{number}" for number in range(7)]
    with pytest.raises(ApiException) as caught:
        await cluster.core.list_namespaced_config_map("default", limit=3, _continue="forgotten")
    assert caught.value.status == 410


async def test_selectors(cluster: Lab) -> None:
    cluster.ready_nodes(1)
    for name, app in (("a", "web"), ("b", "db")):
        cluster.cluster.apply(pod(name, labels={"app": app}))
    found = await cluster.core.list_pod_for_all_namespaces(label_selector="app in (web)")
    assert [item.metadata.name for item in found.items] == ["a"]
    found = await cluster.core.list_pod_for_all_namespaces(field_selector="spec.nodeName=nowhere")
    assert found.items == []
    found = await cluster.core.list_namespaced_pod("default", field_selector="metadata.name=b")
    assert [item.metadata.name for item in found.items] == ["b"]


async def test_a_watch_tells_what_changed_since_the_list(cluster: Lab) -> None:
    listed = await cluster.core.list_namespaced_config_map("default")
    await cluster.core.create_namespaced_config_map("default", config_map("a", colour="red"))
    await cluster.core.patch_namespaced_config_map(
        "a", "default", {"metadata": {"labels": {"colour": "blue"}}}
    )
    await cluster.core.delete_namespaced_config_map("a", "default")

    async def first(count: int, **selection: str) -> list[str]:
        types: list[str] = []
        async with watch.Watch() as stream:
            async for event in stream.stream(
                cluster.core.list_namespaced_config_map,
                "default",
                resource_version=listed.metadata.resource_version,
                timeout_seconds=5,
                **selection,
            ):
                types.append(event["type"])
                if len(types) == count:
                    break
        return types

    assert await first(3) == ["ADDED", "MODIFIED", "DELETED"]
    # What no longer matches is told as deleted.
    assert await first(2, label_selector="colour=red") == ["ADDED", "DELETED"]


async def test_bookmarks_come_while_nothing_happens(cluster: Lab) -> None:
    async with asyncio.timeout(5), watch.Watch() as stream:
        async for event in stream.stream(
            cluster.core.list_node, allow_watch_bookmarks=True, resource_version="1", timeout_seconds=5
        ):
            assert event["type"] == "BOOKMARK"
            revision = event["raw_object"]["metadata"]["resourceVersion"]
            assert int(revision) == cluster.cluster.store.revision
            break


async def test_a_watch_that_asks_for_forgotten_history_gets_410(tmp_path: Path) -> None:
    async with lab(tmp_path, history_length=5) as cluster:
        for number in range(10):
            await cluster.core.create_namespaced_config_map("default", config_map(f"m{number}"))

        async def drain() -> None:
            async with watch.Watch() as stream:
                async for _ in stream.stream(
                    cluster.core.list_namespaced_config_map,
                    "default",
                    resource_version="2",
                    timeout_seconds=5,
                ):
                    pass

        with pytest.raises(ApiException) as caught:
            await drain()
    assert caught.value.status == 410


async def test_a_watcher_that_lags_behind_the_history_gets_410_not_silence(tmp_path: Path) -> None:
    async with lab(tmp_path, history_length=5) as cluster:
        store = cluster.cluster.store
        response = await cluster.core.list_namespaced_config_map(
            "default",
            watch=True,
            resource_version=str(store.revision),
            timeout_seconds=5,
            _preload_content=False,
        )
        # All at once, without giving the watcher a turn.
        for number in range(10):
            cluster.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", **config_map(f"m{number}")})
        line = await response.content.readline()
        response.close()
    assert b'"type":"ERROR"' in line
    assert b'"code":410' in line


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/merge-patch+json", {"spec": {"unschedulable": True}}),
        ("application/strategic-merge-patch+json", {"spec": {"unschedulable": True}}),
        ("application/json-patch+json", [{"op": "add", "path": "/spec/unschedulable", "value": True}]),
    ],
)
async def test_every_patch_type_cordons_a_node(cluster: Lab, content_type: str, patch: Any) -> None:
    [name] = cluster.ready_nodes(1)
    node = await cluster.core.patch_node(name, patch, _content_type=content_type)
    assert node.spec.unschedulable is True
    async with asyncio.timeout(5):
        while not (await cluster.core.read_node(name)).spec.taints:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_update_with_an_old_revision_conflicts(cluster: Lab) -> None:
    old = await cluster.core.create_namespaced_config_map("default", config_map("a"))
    old.data = {"key": "new"}
    new = await cluster.core.replace_namespaced_config_map("a", "default", old)
    assert new.metadata.resource_version != old.metadata.resource_version
    with pytest.raises(ApiException) as caught:
        await cluster.core.replace_namespaced_config_map("a", "default", old)
    assert caught.value.status == 409
    assert '"reason":"Conflict"' in str(caught.value.body)


async def test_status_and_spec_are_written_apart(cluster: Lab) -> None:
    cluster.cluster.apply(workload("Deployment", "web", replicas=0))
    body = {"spec": {"replicas": 5}, "status": {"readyReplicas": 9}}
    changed = await cluster.apps.patch_namespaced_deployment("web", "default", body)
    assert (changed.spec.replicas, changed.status.ready_replicas) == (5, 0)
    scale = await cluster.apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2
    assert (await cluster.apps.read_namespaced_deployment("web", "default")).spec.replicas == 2


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda core: core.read_namespaced_pod("none", "default"), 404),
        (lambda core: core.create_namespaced_pod("default", {"metadata": {"name": "p"}, "spec": {}}), 422),
        (lambda core: core.create_namespaced_pod("nowhere", pod("p")), 400),
        (lambda core: core.create_namespaced_pod("default", pod("p", cpu="abc")), 422),
        (lambda core: core.create_namespace({"metadata": {"name": "default"}}), 409),
        (lambda core: core.list_node(field_selector="spec.colour=red"), 400),
    ],
)
async def test_refusals_are_status_objects(cluster: Lab, call: Any, status: int) -> None:
    with pytest.raises(ApiException) as caught:
        await call(cluster.core)
    assert caught.value.status == status
    assert '"kind":"Status"' in str(caught.value.body)


async def test_a_wrong_token_is_refused(cluster: Lab) -> None:
    configuration = client.Configuration(host=cluster.cluster.url)
    configuration.verify_ssl = False
    configuration.api_key = {"BearerToken": "Bearer wrong"}
    async with client.ApiClient(configuration) as api:
        with pytest.raises(ApiException) as caught:
            await client.CoreV1Api(api).list_node()
    assert caught.value.status == 401


async def test_discovery_and_the_log_of_writes(cluster: Lab) -> None:
    assert (await client.VersionApi(cluster.api).get_code()).git_version.startswith("v1.34")
    groups = await client.ApisApi(cluster.api).get_api_versions()
    assert {"apps", "policy", "batch", "metrics.k8s.io"} <= {group.name for group in groups.groups}
    await cluster.core.create_namespaced_config_map("default", config_map("a"))
    [write] = cluster.cluster.journal.writes
    assert (write.method, write.status) == ("POST", 201)
    assert write.path == "/api/v1/namespaces/default/configmaps"
    assert write.user_agent.startswith("OpenAPI-Generator")
