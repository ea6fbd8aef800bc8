"""What can go wrong in reporting, by whether trying again may help."""

from shared.kernel.errors import RetryableError, SpotError


class BooksUnclosedError(SpotError):
    """Slices of some clusters cannot be closed; the log says why."""


class UnknownClusterError(RetryableError):
    """The gateway has not yet said to whom this cluster belongs."""
