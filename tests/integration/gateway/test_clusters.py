"""Connect an account and a cluster, configure it, let its agent in or shut it out."""

from typing import Any

import pytest

from services.gateway.adapters.postgres import factory
from services.gateway.domain.cloud_accounts import Purpose
from services.gateway.errors import AwsUnavailableError, RoleRefusedError
from services.gateway.handlers.note_heartbeat import note_heartbeat
from shared.contracts.v1.agent import HeartbeatSent
from shared.contracts.v1.gateway import AuditRecorded, ClusterConfigured, ClusterRegistered
from shared.contracts.v1.optimizer import ClusterSummary, GetClusterSummary
from shared.contracts.v1.policy import Approval
from shared.contracts.v1.pricing import FlagReason, Flags, ListFlags, LiveFlag, RaisedFlag
from shared.kernel.pool_flags import FLAG_LIFETIME
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.gateway import SteadyIds
from tests.integration.gateway.stage import ACCOUNT, TEMPLATE, Stage

pytestmark = pytest.mark.postgres


async def test_an_external_id_is_made_sealed_and_used(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    status, account = await stage.call("POST", "/cloud-accounts", ACCOUNT, token=token)
    assert status == 201
    assert len(account["external_id"]) >= 32
    _, listed = await stage.call("GET", "/cloud-accounts", token=token)
    assert "external_id" not in listed["cloud_accounts"][0]
    status, trial = await stage.call("POST", f"/cloud-accounts/{account['id']}/test", token=token)
    assert (status, trial["ok"]) == (200, True)
    ((_, external_id, purpose),) = stage.cloud.calls
    assert external_id == account["external_id"]
    assert purpose is Purpose.READ


async def test_a_refused_role_is_an_answer_and_a_silent_aws_a_503(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    _, account = await stage.call("POST", "/cloud-accounts", ACCOUNT, token=token)
    stage.cloud.next_error = RoleRefusedError("AWS says no.")
    status, trial = await stage.call("POST", f"/cloud-accounts/{account['id']}/test", token=token)
    assert (status, trial) == (200, {"ok": False, "detail": "AWS says no."})
    stage.cloud.next_error = AwsUnavailableError("The platform has no AWS credentials.")
    status, problem = await stage.call("POST", f"/cloud-accounts/{account['id']}/test", token=token)
    assert (status, problem["detail"]) == (503, "The platform has no AWS credentials.")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"account_number": "12"}, "account_number", id="short number"),
        pytest.param({"role_arn": "arn:aws:iam::123456789012:user/x"}, "role_arn", id="a user"),
        pytest.param({"role_arn": "arn:aws:iam::999999999999:role/x"}, "role_arn", id="another account"),
        pytest.param({"region": "mars"}, "region", id="no region"),
        pytest.param({"region": "us-nowhere-9"}, "region", id="looks like a region"),
        pytest.param({"account_number": "١٢٣٤٥٦٧٨٩٠١٢"}, "account_number", id="digits of elsewhere"),
        pytest.param({"external_id": ""}, "external_id", id="empty external id"),
    ],
)
async def test_a_wrong_field_of_an_account_is_named(stage: Stage, change: dict[str, str], field: str) -> None:
    token = (await stage.sign_up())["access_token"]
    status, problem = await stage.call("POST", "/cloud-accounts", {**ACCOUNT, **change}, token=token)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]
    assert "pattern" not in problem["detail"]


async def test_names_are_unique_in_an_organization_only(stage: Stage) -> None:
    ours, theirs = await stage.sign_up("ada@example.com"), await stage.sign_up("bob@example.com")
    connected = await stage.connect_cluster(ours["access_token"])
    await stage.connect_cluster(theirs["access_token"])
    body = {
        "name": "shop",
        "cloud_account_id": connected["cluster"]["cloud_account_id"],
        "node_template": TEMPLATE,
    }
    status, problem = await stage.call("POST", "/clusters", body, token=ours["access_token"])
    assert (status, problem["detail"]) == (409, "There is a cluster named shop already.")


async def test_a_connected_cluster_is_told_to_everybody(stage: Stage) -> None:
    granted = await stage.sign_up()
    connected = await stage.connect_cluster(granted["access_token"], policy={"approval": "autopilot"})
    cluster_id = connected["cluster"]["id"]
    (registered,) = await stage.sent(ClusterRegistered.type)
    (configured,) = await stage.sent(ClusterConfigured.type)
    first = ClusterRegistered.model_validate_json(registered)
    second = ClusterConfigured.model_validate_json(configured)
    assert first.scope == second.scope == cluster_id
    assert first.organization_id == second.organization_id == granted["organization"]["id"]
    assert first.cloud_account.account_number == "123456789012"
    assert second.revision == 1
    assert second.policy.approval is Approval.AUTOPILOT
    assert connected["agent_env"] == {
        "AGENT_NATS_URL": "nats://127.0.0.1:4222",
        "AGENT_CLUSTER_ID": cluster_id,
        "AGENT_INSTALL_TOKEN": connected["install_token"],
    }
    assert connected["install_token"] in connected["install_command"]
    actions = [AuditRecorded.model_validate_json(b).action for b in await stage.sent(AuditRecorded.type)]
    assert actions == ["sign_up", "connect_account", "connect_cluster"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"name": "no spaces"}, "name", id="name"),
        pytest.param({"node_template": {**TEMPLATE, "subnets": []}}, "node_template.subnets", id="no subnet"),
        pytest.param({"node_template": {**TEMPLATE, "x": 1}}, "node_template.x", id="unknown nested field"),
        pytest.param({"policy": {"min_savings_ratio": 7}}, "policy.min_savings_ratio", id="ratio"),
        pytest.param({"policy": {"aproval": "manual"}}, "policy.aproval", id="misspelt"),
        pytest.param(
            {"policy": {"maintenance_windows": [{"timezone": "Mars/Olympus"}]}},
            "policy.maintenance_windows.0.timezone",
            id="zone",
        ),
        pytest.param(
            {"policy": {"maintenance_windows": [{"days": [9]}]}},
            "policy.maintenance_windows.0.days",
            id="day",
        ),
    ],
)
async def test_a_wrong_field_of_a_cluster_is_named(stage: Stage, change: dict[str, Any], field: str) -> None:
    token = (await stage.sign_up())["access_token"]
    _, account = await stage.call("POST", "/cloud-accounts", ACCOUNT, token=token)
    body = {"name": "shop", "cloud_account_id": account["id"], "node_template": TEMPLATE, **change}
    status, problem = await stage.call("POST", "/clusters", body, token=token)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_policy_changes_only_from_the_revision_that_was_read(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    path = f"/clusters/{(await stage.connect_cluster(token))['cluster']['id']}"
    headers = {"Authorization": f"Bearer {token}"}
    async with stage.client.get(f"/api/v1{path}/policy", headers=headers) as answer:
        etag, policy = answer.headers["ETag"], await answer.json()
    policy["approval"] = "autopilot"
    assert (await stage.call("PUT", f"{path}/policy", policy, token=token))[0] == 428
    status, changed = await stage.call("PUT", f"{path}/policy", policy, token=token, If_Match=etag)
    assert (status, changed["approval"]) == (200, "autopilot")
    status, problem = await stage.call("PUT", f"{path}/policy", policy, token=token, If_Match=etag)
    assert (status, problem["title"]) == (412, "Precondition Failed")
    template = {**TEMPLATE, "launch_template_id": "lt-9"}
    status, _ = await stage.call("PUT", f"{path}/node-template", template, token=token, If_Match='"2"')
    assert status == 200
    events = [ClusterConfigured.model_validate_json(b) for b in await stage.sent(ClusterConfigured.type)]
    assert [event.revision for event in events] == [1, 2, 3]
    assert events[-1].policy.approval is Approval.AUTOPILOT
    assert events[-1].node_template.launch_template_id == "lt-9"


async def test_a_cluster_shows_its_heartbeat_and_what_the_optimizer_saw(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    heartbeat = HeartbeatSent.make(
        scope=cluster_id,
        clock=stage.clock,
        ids=SteadyIds(),
        agent_version="1.2",
        kubernetes_version="1.33",
        epoch=1,
        sequence=7,
    )
    async with factory(stage.database)() as uow:
        await note_heartbeat(heartbeat, uow=uow, clock=stage.clock)
    status, cluster = await stage.call("GET", f"/clusters/{cluster_id}", token=token)
    assert status == 200
    assert cluster["last_heartbeat_at"] == stage.clock.now().isoformat()
    assert (cluster["agent_version"], cluster["summary"], cluster["safe_mode"]) == ("1.2", None, False)
    stage.others.answers[GetClusterSummary] = ClusterSummary(as_of=stage.clock.now(), nodes=3)
    stage.switch.keys[f"organization.{granted['organization']['id']}"] = True
    _, cluster = await stage.call("GET", f"/clusters/{cluster_id}", token=token)
    assert (cluster["summary"]["nodes"], cluster["safe_mode"]) == (3, True)


async def test_flags_are_told_to_everybody_and_name_nobody(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    assert (await stage.call("GET", "/regions/us-east-1/flags", token=token))[0] == 503
    raised_at = stage.clock.now()
    flag = LiveFlag(
        pool=make_pool("m5.large", capacity_type=CapacityType.SPOT),
        reason=FlagReason.INTERRUPTION,
        raised_at=raised_at,
        expires_at=raised_at + FLAG_LIFETIME,
    )
    stage.others.answers[ListFlags] = Flags(flags=(RaisedFlag(flag=flag, level=0.75, is_avoided=True),))
    status, told = await stage.call("GET", "/regions/us-east-1/flags", token=token)
    assert status == 200
    [shown] = told["flags"]
    assert (shown["level"], shown["is_avoided"], shown["flag"]["reason"]) == (0.75, True, "interruption")
    assert shown["flag"]["pool"]["instance_type"] == "m5.large"
    assert stage.others.asked[-1].scope == "us-east-1"
    assert (await stage.call("GET", "/regions/us.>/flags", token=token))[0] == 404


async def test_safe_mode_is_turned_and_audited_together_or_not_at_all(stage: Stage) -> None:
    granted = await stage.sign_up()
    token = granted["access_token"]
    cluster_id = (await stage.connect_cluster(token))["cluster"]["id"]
    body = {"scope": "cluster", "id": cluster_id, "on": True}
    assert (await stage.call("PUT", "/safe-mode", body, token=token))[0] == 200
    assert stage.switch.keys == {f"cluster.{cluster_id}": True}
    before = len(await stage.sent(AuditRecorded.type))
    stage.switch.next_error = AwsUnavailableError("the bus is away")
    assert (await stage.call("PUT", "/safe-mode", {**body, "on": False}, token=token))[0] == 503
    assert len(await stage.sent(AuditRecorded.type)) == before


async def test_a_path_that_leads_nowhere_and_a_wrong_method_are_problems_too(stage: Stage) -> None:
    assert (await stage.call("GET", "/nowhere"))[0] == 404
    status, problem = await stage.call("DELETE", "/clusters")
    assert (status, problem["title"]) == (405, "Method Not Allowed")
    assert problem["detail"] == "This address takes GET, HEAD, POST only."
    status, document = await stage.call("GET", "/openapi.json")
    assert status == 200
    assert document["paths"]["/api/v1/clusters"]["post"]["summary"] == "Connect a cluster."
    async with stage.client.get("/healthz") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("key", ["%00", "a%00b", "%ff", "a%20b", "x" * 65, "é"])
async def test_what_cannot_be_a_key_names_nothing(stage: Stage, key: str) -> None:
    token = (await stage.sign_up())["access_token"]
    for method, path in [
        ("GET", f"/clusters/{key}"),
        ("POST", f"/clusters/{key}/optimize"),
        ("POST", f"/cloud-accounts/{key}/test"),
        ("GET", f"/savings?cluster_id={key}"),
    ]:
        assert (await stage.call(method, path, token=token))[0] == 404, (method, path)


async def test_a_nul_character_is_refused_before_postgres_sees_it(stage: Stage) -> None:
    token = (await stage.sign_up())["access_token"]
    body = {**ACCOUNT, "name": "a\x00b"}
    assert (await stage.call("POST", "/cloud-accounts", body, token=token))[0] == 422
    body = {"email": "a\x00@example.com", "password": "correct horse", "organization": "x"}
    assert (await stage.call("POST", "/auth/sign-up", body))[0] == 422
