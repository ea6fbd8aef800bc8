"""Botocore's error codes stop here: each becomes one of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from services.pricing.errors import (
    SourceForbiddenError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnavailableError,
)

THROTTLED_CODES = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "EC2ThrottledException"}
)
FORBIDDEN_CODES = frozenset(
    {
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "InvalidClientTokenId",
        "ExpiredToken",
    }
)
"""Not an exhaustive list: add to it."""

CLIENT_CONFIG = Config(
    retries={"mode": "adaptive", "max_attempts": 6},
    connect_timeout=5,
    read_timeout=60,
    user_agent_extra="spot-optimizer/pricing",
)
"""For long polls, which have no budget: adaptive retries slow down by themselves when AWS throttles."""

ONE_TRY_CONFIG = CLIENT_CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
"""For everything that goes through aws_requests, which tries again itself."""


@contextmanager
def own_errors(doing: str) -> Iterator[None]:
    """Turn what botocore raises into our errors; `doing` is a gerund for people."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = f"{doing}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in THROTTLED_CODES:
            raise SourceThrottledError(message, retry_after_seconds=5.0) from error
        if code in FORBIDDEN_CODES:
            raise SourceForbiddenError(message) from error
        if 400 <= error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) < 500:
            raise SourceRejectedError(message) from error
        raise SourceUnavailableError(message) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise SourceUnavailableError(f"{doing}: {error}") from error
