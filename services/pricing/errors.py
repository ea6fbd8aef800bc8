"""What can go wrong in pricing, by whether trying again may help."""

from shared.kernel.errors import PermanentError, RetryableError, UnavailableError


class SourceThrottledError(RetryableError):
    """AWS asked us to slow down."""


class SourceUnavailableError(UnavailableError):
    """AWS did not answer."""


class SourceForbiddenError(PermanentError):
    """The platform's AWS credentials may not do this; see docs/aws-permissions.md for what pricing needs."""


class SourceRejectedError(PermanentError):
    """AWS does not take what we ask; asking the same again would not help."""


class MalformedNoticeError(PermanentError):
    """The queue held something that is no EventBridge event."""

    def __init__(self, message: str, *, reason: str) -> None:
        """Take the sentence for people, and one of few words for the metric."""
        super().__init__(message)
        self.reason = reason


class HistoryBusyError(RetryableError):
    """A month of prices is in use; folding it is tried again later."""


class PriceFileError(PermanentError):
    """A price file that cannot be used; the message says what is wrong with it."""


class NoPriceSourceError(RetryableError):
    """Nothing says what instances cost on demand; asking again costs a file of hundreds of MB where the API is away."""

    def __init__(self, message: str) -> None:
        """Take the sentence for people."""
        super().__init__(message, retry_after_seconds=900)


class RiskModelUnavailableError(UnavailableError):
    """The interruption model cannot be asked; the heuristic stands in."""

    def __init__(self, message: str, *, reason: str) -> None:
        """Take the sentence for people, and one of few words for the metric."""
        super().__init__(message)
        self.reason = reason
