"""What can go wrong while executing, by whether trying again may help."""

from shared.kernel.errors import PermanentError, RetryableError, SpotError, UnavailableError


class CredentialsUnavailableError(UnavailableError):
    """The gateway lends no AWS credentials now."""


class CloudUnavailableError(UnavailableError):
    """AWS did not answer, or asked us to slow down; the same request may be sent again."""


class CloudRefusedError(PermanentError):
    """AWS refuses the request, and will again."""


class AgentAwayError(UnavailableError):
    """The cluster's agent did not answer."""


class QuotesUnavailableError(UnavailableError):
    """Pricing did not answer."""


class PlanNotHereYetError(RetryableError):
    """The plan was approved before it arrived here; its proposal is on its way."""


class ClusterNotHereYetError(RetryableError):
    """The cluster's registration or configuration has not arrived yet."""


class LeaseLostError(SpotError):
    """Another replica works on this execution now: nothing more may be written for it."""


class SecretsKeyError(PermanentError):
    """EXECUTOR_SECRETS_KEY must be 64 hexadecimal digits, the same ones that sealed the stored keys."""
