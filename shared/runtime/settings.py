"""What every service can be set to; each service adds its own fields and its prefix."""

from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


def wrong_variables(error: ValidationError, *, prefix: str) -> str:
    """Say which variables are wrong, without their values: one may be a secret."""
    wrong = [f"{prefix.upper()}_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
    return f"{'; '.join(wrong)}."


class ProcessSettings(BaseSettings):
    """Common to services and the agent; the variable is `<PREFIX>_<FIELD>`."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    nats_url: str = "nats://127.0.0.1:4222"
    """Where the bus is; several servers are separated by commas."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged; debug shows every message."""

    log_format: Literal["json", "console"] = "json"
    """json for a log collector, console for a person."""

    health_host: str = "127.0.0.1"
    """Address of the health endpoint; 0.0.0.0 in a container."""

    health_port: int = Field(default=0, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics; 0 takes a free one and logs it."""


class ServiceSettings(ProcessSettings):
    """Common to the five services."""

    model_config = SettingsConfigDict(frozen=True)

    database_url: SecretStr = SecretStr("postgresql://127.0.0.1:5432/spot")
    """The database, with the role that this service runs as; it can see the service's own schema only."""

    database_pool_size: int = Field(default=8, ge=2)
    """Connections at most; each message being handled and each request being answered takes one."""

    nats_user: str = ""
    """The service's user on the bus; its permissions come from the subject table."""

    nats_password: SecretStr = SecretStr("")
    """That user's password."""
