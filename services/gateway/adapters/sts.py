"""STS: customers' roles, assumed with their external id and narrowed by a session policy."""

import json
import re
from collections.abc import Collection

import aioboto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from services.gateway.domain.cloud_accounts import AwsSession, CloudAccount, Purpose, session_policy
from services.gateway.errors import AwsUnavailableError, RoleRefusedError

SESSION_SECONDS = 3600
"""AWS allows no more when a role assumes a role."""

REFUSED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidClientTokenId",
        "MalformedPolicyDocument",
        "PackedPolicyTooLarge",
        "RegionDisabledException",
        "SignatureDoesNotMatch",
        "ValidationError",
    }
)
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=3,
    read_timeout=10,
    user_agent_extra="spot-optimizer/gateway",
)
NO_CREDENTIALS = (
    "The platform has no AWS credentials of its own: its operator sets AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or a role, where the gateway runs."
)
_ACCOUNT_IN_ARN = re.compile(r"arn:[^:]*:sts::(\d{12}):")


class StsCloudAccess:
    """See ports.CloudAccess."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session
        bundled = botocore.session.get_session()
        self._regions = frozenset(
            region
            for partition in bundled.get_available_partitions()
            for region in bundled.get_available_regions("ec2", partition_name=partition)
        )

    def regions(self) -> Collection[str]:
        """See the port."""
        return self._regions

    async def assume(self, account: CloudAccount, *, external_id: str, purpose: Purpose) -> AwsSession:
        """See the port."""
        try:
            async with self._session.client("sts", region_name=account.region, config=CLIENT_CONFIG) as sts:
                answer = await sts.assume_role(
                    RoleArn=account.role_arn,
                    RoleSessionName=f"spot-optimizer-{purpose.value}",
                    ExternalId=external_id,
                    Policy=json.dumps(session_policy(purpose), separators=(",", ":")),
                    DurationSeconds=SESSION_SECONDS,
                )
        except ClientError as error:
            problem = error.response.get("Error", {})
            code, message = problem.get("Code", ""), problem.get("Message", "")
            if code in REFUSED_CODES:
                raise RoleRefusedError(
                    f"AWS does not let us assume {account.role_arn}: {code}: {message}"
                ) from error
            raise AwsUnavailableError(
                f"AWS cannot be asked to assume {account.role_arn} now: {code}."
            ) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AwsUnavailableError(NO_CREDENTIALS) from error
        except BotoCoreError as error:
            raise AwsUnavailableError(
                f"AWS cannot be asked to assume {account.role_arn} now: {type(error).__name__}."
            ) from error
        found = _ACCOUNT_IN_ARN.match(answer["AssumedRoleUser"]["Arn"])
        credentials = answer["Credentials"]
        return AwsSession(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
            expires_at=credentials["Expiration"],
            assumed_account_number=found.group(1) if found else "",
        )
