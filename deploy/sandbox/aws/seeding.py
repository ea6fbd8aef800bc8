"""What exists in both accounts before anybody calls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from deploy.sandbox.aws.moto_client import Caller, MotoClient, caller_of
from deploy.sandbox.aws.query_protocol import Answer, Form
from deploy.sandbox.aws.records import CUSTOMER_ACCOUNT, PLATFORM_ACCOUNT, ROLE_ARN, PlatformCredentials, Seed

QUEUE_NAME = "spot-optimizer-events"
PLATFORM_CREDENTIALS = PlatformCredentials("AKIASANDBOXPLATFORM0", "sandbox-secret-of-no-account")
EXTERNAL_ID = "spot-optimizer-sandbox"

IMAGE_ID = "ami-0abcdef1234567890"
"""moto checks no image."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Callers that the world itself uses."""

    platform_queue: Caller
    customer: Caller


async def seed(
    moto: MotoClient, *, region: str, url: str, zone_ids: Mapping[str, str], types_skipped: int
) -> tuple[Seed, Accounts]:
    """Make the queue, the role, the network and the launch template."""
    key = PLATFORM_CREDENTIALS.access_key_id
    queue = caller_of(PLATFORM_ACCOUNT, region, key, "sqs")
    await _call(moto, queue, "2012-11-05", "CreateQueue", {"QueueName": QUEUE_NAME})
    session = await _call(
        moto,
        caller_of(PLATFORM_ACCOUNT, region, key, "sts"),
        "2011-06-15",
        "AssumeRole",
        {"RoleArn": f"arn:aws:iam::{CUSTOMER_ACCOUNT}:role/sandbox-world", "RoleSessionName": "world"},
    )
    customer_key = _first(session, "AccessKeyId")
    await _call(
        moto,
        caller_of(CUSTOMER_ACCOUNT, region, customer_key, "iam"),
        "2010-05-08",
        "CreateRole",
        {"RoleName": ROLE_ARN.rpartition("/")[2], "AssumeRolePolicyDocument": _trust_policy()},
    )
    customer = caller_of(CUSTOMER_ACCOUNT, region, customer_key)
    vpc = _first(await moto.ec2(customer, "CreateVpc", {"CidrBlock": "10.0.0.0/16"}), "vpcId")
    subnets: list[tuple[str, str, str]] = []
    for number, (zone, zone_id) in enumerate(sorted(zone_ids.items())):
        answer = await moto.ec2(
            customer,
            "CreateSubnet",
            {"VpcId": vpc, "CidrBlock": f"10.0.{number * 32}.0/19", "AvailabilityZone": zone},
        )
        subnets.append((_first(answer, "subnetId"), zone, zone_id))
    group = await moto.ec2(
        customer, "CreateSecurityGroup", {"GroupName": "nodes", "GroupDescription": "Nodes", "VpcId": vpc}
    )
    group_id = _first(group, "groupId")
    template = await moto.ec2(
        customer,
        "CreateLaunchTemplate",
        {
            "LaunchTemplateName": "spot-optimizer-nodes",
            "LaunchTemplateData.ImageId": IMAGE_ID,
            "LaunchTemplateData.SecurityGroupId.1": group_id,
        },
    )
    return (
        Seed(
            region=region,
            external_id=EXTERNAL_ID,
            queue_url=f"{url}/{PLATFORM_ACCOUNT}/{QUEUE_NAME}",
            launch_template_id=_first(template, "launchTemplateId"),
            subnets=tuple(subnets),
            advisor_url=f"{url}/spot-advisor-data.json",
            platform_credentials=PLATFORM_CREDENTIALS,
            types_skipped=types_skipped,
            security_group_id=group_id,
            vpc_id=vpc,
        ),
        Accounts(queue, customer),
    )


def _trust_policy() -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{PLATFORM_ACCOUNT}:root"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
                }
            ],
        }
    )


async def _call(
    moto: MotoClient, caller: Caller, version: str, action: str, values: Mapping[str, str]
) -> Answer:
    return await moto.form(caller, Form({"Action": action, "Version": version, **values}))


def _first(answer: Answer, name: str) -> str:
    """Give the text of the first element of that name."""
    for element in ET.fromstring(answer.body).iter():
        if element.tag.rpartition("}")[2] == name and element.text:
            return element.text
    raise RuntimeError(f"moto's answer has no {name}: {answer.body.decode(errors='replace')[:256]}")
