"""The templates hang together, and allow what the code calls and nothing else."""

import ast
import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import botocore.session
import pytest
import yaml
from moto.events.models import EventPattern
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from services.executor.domain import launch_request
from services.gateway.domain.cloud_accounts import READ_ACTIONS, WRITE_ACTIONS
from services.pricing.domain import notices

FOLDER = Path(__file__).parents[3] / "deploy" / "cloudformation"
SERVICES = Path(__file__).parents[3] / "services"
NAMES = ("platform", "customer-account", "customer-cluster", "customer-notices")
FILLED = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "111122223333",
    "RunnerArn": "arn:aws:iam::111122223333:role/runner",
    "CustomerAccounts": ["444455556666"],
    "PlatformRoleArn": "arn:aws:iam::111122223333:role/spot-optimizer-gateway",
    "ExternalId": "x" * 43,
    "RoleName": "spot-optimizer",
    "ClusterName": "shop",
    "NodeRoleArn": "arn:aws:iam::444455556666:role/nodes",
    "HasGroups": "yes",
    "PlatformBusArn": "arn:aws:events:us-east-1:111122223333:event-bus/spot-optimizer-notices",
}
OWNED = "kubernetes.io/cluster/shop"


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _long_form)


def template(name: str) -> dict[str, Any]:
    loaded = yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader)
    assert isinstance(loaded, dict)
    return loaded


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def filled(value: Any) -> Any:
    """A value as CloudFormation would fill it in; a resource's attribute becomes an ARN of its name."""
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"Ref"}:
        return FILLED.get(value["Ref"], f"https://{value['Ref']}")
    if set(value) == {"Fn::GetAtt"}:
        return f"arn:aws:sqs:us-east-1:111122223333:{value['Fn::GetAtt'].partition('.')[0]}"
    if set(value) == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: str(FILLED[found[1]]), value["Fn::Sub"])
    return {key: filled(inner) for key, inner in value.items()}


def documents(name: str) -> dict[str, dict[str, Any]]:
    """Every policy document of a template, by the resource that holds it (and trust policies by `<name>/trust`)."""
    found: dict[str, dict[str, Any]] = {}
    for resource, body in template(name)["Resources"].items():
        properties = body["Properties"]
        if "AssumeRolePolicyDocument" in properties:
            found[f"{resource}/trust"] = filled(properties["AssumeRolePolicyDocument"])
        for policy in properties.get("Policies", ()):
            found[resource] = filled(policy["PolicyDocument"])
        if "PolicyDocument" in properties:
            document = filled(properties["PolicyDocument"])
            found[resource] = json.loads(document) if isinstance(document, str) else document
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(document: Mapping[str, Any]) -> set[str]:
    return {action for s in document["Statement"] for action in listed(s["Action"])}


OTHER_NAMES = {"sqs:DeleteMessageBatch": "sqs:DeleteMessage"}
"""Calls that IAM knows by another call's name."""


@functools.cache
def methods_of(client: str) -> Mapping[str, str]:
    """The API's name of each method of boto3's client."""
    made = botocore.session.Session().create_client(
        client, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    mapping: Mapping[str, str] = made.meta.method_to_api_mapping
    return mapping


def called(service: str) -> set[str]:
    """The actions of AWS that a service's adapters name, each as IAM spells it."""
    found: set[str] = set()
    for path in (SERVICES / service / "adapters").glob("*.py"):
        text = path.read_text()
        names = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
        names |= set(re.findall(r'get_paginator\("(\w+)"\)', text))
        for client in re.findall(r'\.client\(\s*"(\w+)"', text):
            found |= {f"{client}:{api}" for name, api in methods_of(client).items() if name in names}
    return {OTHER_NAMES.get(action, action) for action in found}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_and_no_alias_is_left(name: str) -> None:
    body = template(name)
    known = {*body.get("Parameters", {}), *body["Resources"]}
    used: set[str] = set()
    for key, value in walk(body):
        if key == "Ref":
            used.add(value)
        elif key == "Fn::GetAtt":
            used.add(value.partition(".")[0])
        elif key == "Fn::Sub":
            used |= set(re.findall(r"\$\{([\w:]+)\}", value))
        elif key == "Condition" and isinstance(value, str):
            assert value in body["Conditions"]
    assert {n for n in used if not n.startswith("AWS::")} <= known
    assert {p for p in body.get("Parameters", {}) if p not in used} == set()
    assert re.search(r": [*&]\w", (FOLDER / f"{name}.yaml").read_text()) is None, (
        "CloudFormation refuses aliases"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_is_one_that_iam_takes(name: str) -> None:
    for resource, document in documents(name).items():
        if not resource.endswith("/trust") and resource != "NoticeQueuePolicy":
            IAMPolicyDocumentValidator(json.dumps(document)).validate()


def event(detail_type: str, detail: Mapping[str, Any], *, source: str = "aws.ec2") -> Any:
    return {
        "version": "0",
        "id": "e-1",
        "detail-type": detail_type,
        "source": source,
        "account": "444455556666",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"instance-id": "i-1", **detail},
    }


STATE = "EC2 Instance State-change Notification"
HEALTH = {"eventTypeCategory": "scheduledChange", "affectedEntities": [{"entityValue": "i-1"}]}


@pytest.mark.parametrize(
    ("said", "is_sent"),
    [
        (event("EC2 Spot Instance Interruption Warning", {"instance-action": "terminate"}), True),
        (event("EC2 Instance Rebalance Recommendation", {}), True),
        *((event(STATE, {"state": s}), True) for s in sorted(notices.GOING_STATES)),
        (event("AWS Health Event", {"service": "EC2", **HEALTH}, source="aws.health"), True),
        (event(STATE, {"state": "running"}), False),
        (event("AWS Health Event", {"service": "RDS", **HEALTH}, source="aws.health"), False),
        (
            event("AWS Health Event", {"service": "EC2", "eventTypeCategory": "issue"}, source="aws.health"),
            False,
        ),
        (event("EC2 Spot Instance Interruption Warning", {}, source="somebody.else"), False),
    ],
)
def test_each_kind_of_event_is_sent_once_and_is_one_that_pricing_reads(said: Any, *, is_sent: bool) -> None:
    assert bool(notices.parse(json.dumps(said))) is is_sent
    for name, prefix in (("platform", "Own"), ("platform", "Customers"), ("customer-notices", "")):
        rules = {
            key: body["Properties"]
            for key, body in template(name)["Resources"].items()
            if body["Type"] == "AWS::Events::Rule" and key.startswith(prefix)
        }
        taken = [
            key
            for key, rule in rules.items()
            if EventPattern.load(json.dumps(rule["EventPattern"])).matches_event(said)
        ]
        assert len(taken) == is_sent, name


def test_only_rules_of_the_account_may_send_and_what_is_kept_is_encrypted() -> None:
    resources = template("platform")["Resources"]
    queues = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::SQS::Queue"]
    assert [q["SqsManagedSseEnabled"] for q in queues] == [True, True]
    assert resources["NoticeQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] > 1
    allow, deny = documents("platform")["NoticeQueuePolicy"]["Statement"]
    assert (allow["Effect"], allow["Principal"], allow["Action"]) == (
        "Allow",
        {"Service": "events.amazonaws.com"},
        "sqs:SendMessage",
    )
    assert allow["Condition"]["ArnLike"]["aws:SourceArn"] == "arn:aws:events:us-east-1:111122223333:rule/*"
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_platform_reads_and_assumes_and_nothing_else() -> None:
    found = documents("platform")
    assert actions(found["PricingRole"]) == called("pricing")
    assert called("gateway") == {"sts:AssumeRole"}
    [assume] = found["GatewayRole"]["Statement"]
    assert (assume["Action"], assume["Resource"]) == ("sts:AssumeRole", "arn:aws:iam::*:role/spot-optimizer*")


def test_a_customers_role_is_the_gateways_alone_and_reads_what_sessions_may_read() -> None:
    found = documents("customer-account")
    [trust] = found["Role/trust"]["Statement"]
    assert trust["Principal"] == {"AWS": FILLED["PlatformRoleArn"]}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": FILLED["ExternalId"]}}
    assert template("customer-account")["Parameters"]["ExternalId"]["NoEcho"] is True
    assert actions(found["Role"]) == set(READ_ACTIONS)


def test_with_a_customers_role_nothing_may_be_read_that_is_not_and_everything_done_that_is() -> None:
    own = called("executor")
    reads = {action for action in own if re.search(r":(Describe|Get|List)", action)}
    assert set(READ_ACTIONS) == reads == {"ec2:DescribeInstances"}
    implied = {"ec2:RunInstances", "ec2:CreateTags"}
    assert own - reads == {"ec2:CreateFleet", "ec2:TerminateInstances"}
    [groups] = [
        document
        for name, document in documents("customer-cluster").items()
        if name == "KeepGroupsFromLaunchingAgain"
    ]
    assert set(WRITE_ACTIONS) == (own - reads) | implied | actions(groups)
    for service in ("optimizer", "reporting"):
        assert called(service) == set()


def test_a_cluster_is_changed_by_its_tag_only() -> None:
    found = documents("customer-cluster")
    statements = [s for document in found.values() for s in document["Statement"]]
    assert {a for d in found.values() for a in actions(d)} == {*WRITE_ACTIONS, "iam:PassRole"}
    tags = launch_request.tags_for(
        cluster_id="c1", cluster_name="shop", execution_id=UUID(int=1), step_id=UUID(int=2), node_template="t"
    )
    assert tags[OWNED] == "owned"
    conditions = {s["Sid"]: json.dumps(s.get("Condition", {})) for s in statements}
    for name, key in (
        ("LaunchInstancesOfThisCluster", f"aws:RequestTag/{OWNED}"),
        ("TagInstancesAtLaunch", f"aws:RequestTag/{OWNED}"),
        ("TerminateInstancesOfThisCluster", f"aws:ResourceTag/{OWNED}"),
        ("AutoScalingGroups", f"autoscaling:ResourceTag/{OWNED}"),
    ):
        assert f'"{key}": "owned"' in conditions[name]
    for statement in statements:
        resources = listed(statement["Resource"])
        assert "*" not in resources
        if any(r.endswith(":instance/*") for r in resources):
            assert OWNED in conditions[statement["Sid"]], "no instance is touched without the cluster's tag"
    [pass_role] = [s for s in statements if s["Action"] == "iam:PassRole"]
    assert pass_role["Resource"] == FILLED["NodeRoleArn"]
