"""What is wrong with somebody's Kubernetes JSON."""

from shared.kernel.errors import PermanentError


class KubernetesObjectError(PermanentError):
    """A Kubernetes object does not look as the API would give it."""
