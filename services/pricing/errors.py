"""What can go wrong in pricing, by whether trying again may help."""

from shared.kernel.errors import PermanentError, RetryableError, UnavailableError


class SourceThrottledError(RetryableError):
    """AWS asked us to slow down."""


class SourceUnavailableError(UnavailableError):
    """AWS did not answer."""


class SourceForbiddenError(PermanentError):
    """The platform's AWS credentials may not do this; see docs/aws-permissions.md for what pricing needs."""


class MalformedNoticeError(PermanentError):
    """The queue held something that is no EventBridge event."""
