"""What can go wrong in the optimizer.

RetryableError
└── MarketUnavailableError   prices are not there yet
PermanentError
└── PlanInputError           what was given cannot be planned
"""

from shared.kernel.errors import PermanentError, RetryableError


class MarketUnavailableError(RetryableError):
    """No prices are known for the cluster's region yet."""


class PlanInputError(PermanentError):
    """The cluster or the market cannot be planned as given."""
