"""EC2 in customers' accounts. Botocore's error codes stop here."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.executor.adapters.credentials import LentSessions
from services.executor.domain.launch_request import EXECUTION_TAG, STEP_TAG
from services.executor.errors import CloudRefusedError, CloudUnavailableError
from services.executor.ports import Blame, LaunchAnswer

POOL_CODES = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientReservedInstanceCapacity",
        "UnfulfillableCapacity",
    }
)
"""The pool has nothing now. Not an exhaustive list, add to it."""

ACCOUNT_CODES = frozenset(
    {
        "InsufficientFreeAddressesInSubnet",
        "MaxSpotInstanceCountExceeded",
        "SpotMaxPriceTooLow",
        "Unsupported",
        "VcpuLimitExceeded",
        "InstanceLimitExceeded",
    }
)
"""This account gets nothing there, others may."""

THROTTLED_CODES = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "EC2ThrottledException"}
)

REFUSED_CODES = frozenset(
    {
        "UnauthorizedOperation",
        "InvalidParameter",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "MissingParameter",
        "InvalidFleetConfig",
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.Malformed",
        "InvalidLaunchTemplateId.VersionNotFound",
        "InvalidSubnetID.NotFound",
        "IdempotentParameterMismatch",
        "OptInRequired",
        "PendingVerification",
    }
)
"""Sending it again cannot help."""

GONE_CODES = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
GONE_STATES = frozenset({"terminated", "shutting-down"})
STALE_SESSION_CODES = frozenset({"ExpiredToken", "RequestExpired", "AuthFailure", "InvalidClientTokenId"})

CLIENT_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=5,
    read_timeout=20,
    user_agent_extra="spot-optimizer/executor",
)
"""Few retries: steps are repeated anyway, and a ClientToken makes repeating a launch safe."""

CALL_SECONDS = 40
"""A call that hangs must not hang its execution."""


class Ec2Cloud:
    """See ports.Cloud."""

    def __init__(self, sessions: LentSessions) -> None:
        self._sessions = sessions

    async def launch(self, cluster_id: str, request: str) -> LaunchAnswer:
        """See the port; an answer that holds instances is a success, whatever its Errors say."""
        try:
            async with self._client(cluster_id, "launching an instance") as ec2:
                answer = await ec2.create_fleet(**json.loads(request))
        except _CodedRefusalError as error:
            return LaunchAnswer(None, error.code, str(error), blame=_blame(error.code))
        for launched in answer.get("Instances", []):
            for instance_id in launched.get("InstanceIds", []):
                return LaunchAnswer(instance_id)
        errors = answer.get("Errors", [])
        code = errors[0].get("ErrorCode", "Unknown") if errors else "NoInstances"
        message = errors[0].get("ErrorMessage", "") if errors else "EC2 answered without instances"
        blame = _blame(code)
        if blame is Blame.REQUEST and code not in REFUSED_CODES:
            blame = Blame.ACCOUNT  # unknown, and about one offering only: another may do
        return LaunchAnswer(None, code, message, blame=blame)

    async def terminate(self, cluster_id: str, instance_id: str) -> None:
        """See the port."""
        try:
            async with self._client(cluster_id, f"terminating {instance_id}") as ec2:
                await ec2.terminate_instances(InstanceIds=[instance_id])
        except _CodedRefusalError as error:
            if error.code not in GONE_CODES:
                raise

    async def is_gone(self, cluster_id: str, instance_id: str) -> bool:
        """See the port."""
        try:
            async with self._client(cluster_id, f"describing {instance_id}") as ec2:
                answer = await ec2.describe_instances(InstanceIds=[instance_id])
        except _CodedRefusalError as error:
            if error.code in GONE_CODES:
                return True
            raise
        states = [i["State"]["Name"] for r in answer["Reservations"] for i in r["Instances"]]
        return all(state in GONE_STATES for state in states)

    async def launched_for(self, cluster_id: str, execution_id: UUID) -> Mapping[str, str]:
        """See the port."""
        found: dict[str, str] = {}
        async with self._client(cluster_id, "looking for orphans") as ec2:
            pages = ec2.get_paginator("describe_instances").paginate(
                Filters=[
                    {"Name": f"tag:{EXECUTION_TAG}", "Values": [str(execution_id)]},
                    {"Name": "instance-state-name", "Values": ["pending", "running"]},
                ]
            )
            async for page in pages:
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                        found[instance["InstanceId"]] = tags.get(STEP_TAG, "")
        return found

    @asynccontextmanager
    async def _client(self, cluster_id: str, doing: str) -> AsyncIterator[Any]:
        lent = await self._sessions.session(cluster_id)
        try:
            with _own_errors(doing):
                async with (
                    asyncio.timeout(CALL_SECONDS),
                    lent.session.client("ec2", region_name=lent.region, config=CLIENT_CONFIG) as ec2,
                ):
                    yield ec2
        except _StaleSessionError as error:
            self._sessions.forget(cluster_id)
            raise CloudUnavailableError(str(error)) from error


def _blame(code: str) -> Blame:
    if code in POOL_CODES:
        return Blame.POOL
    return Blame.ACCOUNT if code in ACCOUNT_CODES else Blame.REQUEST


class _CodedRefusalError(CloudRefusedError):
    """AWS refuses the request."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _StaleSessionError(CloudUnavailableError):
    """The lent session has ended."""


@contextmanager
def _own_errors(doing: str) -> Iterator[None]:
    """Turn what botocore raises into our errors; `doing` is a gerund for people."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code = said.get("Code", "")
        message = f"{doing}: {code}: {said.get('Message', '')}"
        if code in STALE_SESSION_CODES:
            raise _StaleSessionError(message) from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        is_known = code in POOL_CODES | ACCOUNT_CODES | REFUSED_CODES | GONE_CODES
        # EC2 sends insufficient capacity as a 500; any other 5xx, and throttling, may be repeated.
        if is_known or (status < 500 and code not in THROTTLED_CODES):
            raise _CodedRefusalError(code, message) from error
        raise CloudUnavailableError(message) from error
    except (BotoCoreError, TimeoutError, OSError) as error:
        raise CloudUnavailableError(f"{doing}: {error!r}") from error
