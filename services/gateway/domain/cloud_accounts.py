"""Customers' AWS accounts, and how far lent credentials reach in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

ROLE_ARN = re.compile(r"arn:aws(-cn|-us-gov)?:iam::(\d{12}):role/[\w+=,.@/-]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAccount:
    """An AWS account that an organization connected."""

    id: str
    organization_id: str
    name: str
    account_number: str
    role_arn: str
    sealed_external_id: bytes
    """AES-256-GCM; bound to `id`."""
    region: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSession:
    """Credentials of an assumed role, for an hour at most."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: datetime
    assumed_account_number: str

    def __repr__(self) -> str:
        return f"AwsSession({self.assumed_account_number}, ***)"


class Purpose(StrEnum):
    """What lent credentials are for."""

    READ = "read"
    WRITE = "write"


READ_ACTIONS = ("ec2:DescribeInstances",)
"""What is called, each by its name: ec2:Describe* would read user data too, in which people keep secrets."""
WRITE_ACTIONS = (
    "ec2:RunInstances",
    "ec2:CreateFleet",
    "ec2:TerminateInstances",
    "ec2:CreateTags",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:DetachInstances",
    "autoscaling:UpdateAutoScalingGroup",
    "eks:UpdateNodegroupConfig",
)


def account_number_of(role_arn: str) -> str | None:
    """Give the account a role is in; None when it is no role's ARN."""
    match = ROLE_ARN.fullmatch(role_arn)
    return match.group(2) if match else None


def session_policy(purpose: Purpose) -> Mapping[str, Any]:
    """Narrow a session: it can do what the role allows and this names, nothing else."""
    statements: list[Mapping[str, Any]] = [{"Effect": "Allow", "Action": READ_ACTIONS, "Resource": "*"}]
    if purpose is Purpose.WRITE:
        statements.append({"Effect": "Allow", "Action": WRITE_ACTIONS, "Resource": "*"})
        # A launch hands the node's instance profile to EC2, and to nobody else.
        statements.append(
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": "*",
                "Condition": {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
