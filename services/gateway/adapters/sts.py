"""STS: customers' roles, assumed with their external id and narrowed by a session policy."""

import json
import re

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

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
_ACCOUNT_IN_ARN = re.compile(r"arn:[^:]*:sts::(\d{12}):")


class StsCloudAccess:
    """See ports.CloudAccess."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session

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
            raise AwsUnavailableError(f"assuming {account.role_arn}: {code}") from error
        except BotoCoreError as error:
            raise AwsUnavailableError(f"assuming {account.role_arn}: {type(error).__name__}") from error
        found = _ACCOUNT_IN_ARN.match(answer["AssumedRoleUser"]["Arn"])
        credentials = answer["Credentials"]
        return AwsSession(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
            expires_at=credentials["Expiration"],
            assumed_account_number=found.group(1) if found else "",
        )
