"""From looks at an execution to what changed between them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from shared.contracts.v1.executor import ExecutionReply, ExecutionStatus, ExecutionView, StepView


class Watch:
    """Remembers what a watcher was told."""

    def __init__(self) -> None:
        self._execution: ExecutionView | None = None
        self._steps: dict[UUID, StepView] = {}

    @property
    def is_done(self) -> bool:
        """Whether the execution has ended, and the watcher knows."""
        return self._execution is not None and self._execution.status is not ExecutionStatus.RUNNING

    def changes(self, seen: ExecutionReply) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give (event name, content) of what is new; `done` comes last."""
        for step in seen.steps:
            if self._steps.get(step.id) != step:
                self._steps[step.id] = step
                yield "step", step.model_dump(mode="json")
        if seen.execution is not None and seen.execution != self._execution:
            self._execution = seen.execution
            yield "done" if self.is_done else "execution", seen.execution.model_dump(mode="json")
