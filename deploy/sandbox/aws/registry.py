"""Every instance that ever ran, who is told about it, and the log of writes."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from deploy.sandbox.aws.records import RUNNING, TERMINATED, Call, Instance

Subscriber = Callable[[Instance, str], None]
"""Called in the event loop with an instance and `launched`, `terminating` or `terminated`."""


class Registry:
    """Belongs to the event loop's thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._instances: dict[str, Instance] = {}
        self._subscribers: list[Subscriber] = []
        self.calls: list[Call] = []

    @property
    def instances(self) -> list[Instance]:
        """Every instance, oldest first."""
        return list(self._instances.values())

    def get(self, instance_id: str) -> Instance | None:
        """Give one instance."""
        return self._instances.get(instance_id)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell `subscriber` of everything from now on."""
        self._subscribers.append(subscriber)

    def launched(self, instance: Instance) -> None:
        """Add a new instance."""
        self._instances[instance.id] = instance
        self._tell(instance, "launched")

    def gone(self, instance_id: str, *, by: str) -> Instance | None:
        """Mark an instance terminated; give it, or None when it was not running.

        `terminating` and `terminated` come one after the other: what a kubelet does between them is the
        cluster's concern.
        """
        instance = self._instances.get(instance_id)
        if instance is None or instance.state != RUNNING:
            return None
        self._tell(instance, "terminating")
        gone = replace(instance, state=TERMINATED, terminated_at=self._now(), terminated_by=by)
        self._instances[instance_id] = gone
        self._tell(gone, "terminated")
        return gone

    def tagged(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to an instance; what is no instance is ignored."""
        instance = self._instances.get(instance_id)
        if instance is not None:
            self._instances[instance_id] = replace(instance, tags={**instance.tags, **tags})

    def _tell(self, instance: Instance, event: str) -> None:
        for subscriber in self._subscribers:
            subscriber(instance, event)
