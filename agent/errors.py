"""What can go wrong in the agent."""

from shared.kernel.errors import PermanentError, UnavailableError


class KubernetesUnavailableError(UnavailableError):
    """The Kubernetes API does not answer, or asks us to slow down."""


class BusUnavailableError(UnavailableError):
    """NATS or the gateway does not answer."""


class KubernetesRefusedError(PermanentError):
    """The Kubernetes API refused a request."""

    def __init__(self, message: str | None = None, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class EnrolmentRefusedError(PermanentError):
    """The gateway refused the install token."""


class MisconfiguredError(PermanentError):
    """A setting is missing or wrong."""


class MalformedCommandError(PermanentError):
    """A request is no command at all: there is no id to answer with."""
