"""The two answers to any failure: try again later, or never.

    SpotError
     ├── RetryableError   the entrypoint naks the message with a delay, or answers 503
     └── PermanentError   the entrypoint buries the message, or answers 4xx

Nothing but the entrypoints decides what follows. A subclass's docstring is its default message.
"""


class SpotError(Exception):
    """Unexpected error."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class RetryableError(SpotError):
    """The same call may succeed later."""

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(RetryableError):
    """A server we depend on (database, bus, AWS) does not answer: no message's fault."""


class PermanentError(SpotError):
    """The same call can never succeed."""
