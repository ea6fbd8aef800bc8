"""What can go wrong at the door; each kind has one HTTP status, which entrypoints/http/problems.py knows."""

from collections.abc import Mapping

from shared.kernel.errors import PermanentError, RetryableError, SpotError, UnavailableError


class SettingsError(SpotError):
    """A setting is missing or wrong."""


class InvalidInputError(PermanentError):
    """What was sent does not fit; `fields` says which field and why."""

    def __init__(self, message: str | None = None, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class MalformedBodyError(PermanentError):
    """The body is no JSON object."""


class NotAuthenticatedError(PermanentError):
    """Log in first: the access token is missing, expired or not ours."""


class WrongPasswordError(PermanentError):
    """No account has this address and password."""


class ForbiddenError(PermanentError):
    """Your role does not allow this."""


class NotFoundError(PermanentError):
    """There is nothing here, or it is not yours."""


class ConflictError(PermanentError):
    """It stands against what is there already."""


class RevisionConflictError(PermanentError):
    """Somebody changed it meanwhile; read it again."""


class RevisionRequiredError(PermanentError):
    """Say which revision you change: send its ETag as If-Match."""


class TooManyAttemptsError(RetryableError):
    """Too many attempts; wait a while."""


class RoleRefusedError(PermanentError):
    """AWS does not let us assume the role."""


class AwsUnavailableError(UnavailableError):
    """AWS does not answer."""


class AgentRefusedError(PermanentError):
    """The token is unknown, used up or revoked."""


class UnknownClusterError(PermanentError):
    """No organization has this cluster."""


class PlanMismatchError(PermanentError):
    """The plan is not what its message says it is."""


class SecretUnreadableError(PermanentError):
    """A stored secret was sealed with another key; set GATEWAY_SECRETS_KEY_PREVIOUS."""
