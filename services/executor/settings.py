"""Settings of the executor."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings


class ExecutorSettings(ServiceSettings):
    """What an operator may set, as EXECUTOR_<FIELD>; the AWS endpoint comes from AWS_ENDPOINT_URL."""

    model_config = SettingsConfigDict(env_prefix="EXECUTOR_", frozen=True)

    secrets_key: SecretStr = SecretStr("")
    """64 hexadecimal digits: the AES-256 key that seals the signing key at rest. Required."""

    tick_period: timedelta = timedelta(milliseconds=250)
    """How often executions are looked at; it bounds how fast one step follows another."""

    max_launches_in_flight: int = Field(default=10, ge=1)
    """Instances of one execution that may be booting at the same time."""

    copy_max_age: timedelta = timedelta(seconds=120)
    """A copy of a cluster that is older is no ground to disrupt a node on: the step waits."""

    lease_lifetime: timedelta = timedelta(seconds=4)
    """How long a replica that died keeps others from its executions; it is renewed with every turn.

    A call may take longer: whoever lost the lease meanwhile writes nothing more (the fencing token), and what
    it asked of AWS is the same request that its successor repeats.
    """

    command_lifetime: timedelta = timedelta(seconds=30)
    """How long a signed command is valid; it is signed anew as long as it is repeated."""

    agent_timeout: timedelta = timedelta(seconds=5)
    """How long an agent's answer is waited for before the command is repeated."""

    verify_deadline: timedelta = timedelta(minutes=10)
    """How long a terminated instance may take to disappear before the step is given up."""

    cloud_pause: timedelta = timedelta(seconds=3)
    """Pause before AWS is asked again about the same thing."""

    capacity_flag_lifetime: timedelta = timedelta(minutes=10)
    """How long our own flag keeps launches from a pool that had no capacity."""

    history_kept: timedelta = timedelta(days=400)
    """How long finished executions, and what safe mode held back, can be looked up."""
