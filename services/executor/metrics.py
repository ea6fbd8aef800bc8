"""Every metric of the executor, named once."""

from prometheus_client import Counter, Histogram

steps_ended = Counter("spot_executor_steps_total", "Steps by kind and how they ended", ["kind", "status"])
executions_ended = Counter(
    "spot_executor_executions_total", "Executions by trigger and how they ended", ["trigger", "status"]
)
launch_attempts = Counter("spot_executor_launch_attempts_total", "Calls to launch, by outcome", ["outcome"])
instances_terminated = Counter("spot_executor_instances_terminated_total", "Instances terminated", ["why"])
interruptions = Counter("spot_executor_interruptions_total", "Notices about nodes", ["kind", "action"])
writes_held_back = Counter(
    "spot_executor_writes_held_back_total", "Writes that safe mode turned into a log line"
)
step_seconds = Histogram(
    "spot_executor_step_seconds",
    "Time from a step's begin to its end",
    ["kind"],
    buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1200),
)
