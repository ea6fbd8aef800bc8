"""Settings of the gateway."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """What an operator may set, as GATEWAY_<FIELD>; AWS credentials and endpoints come from AWS_*."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    http_host: str = "127.0.0.1"
    """Address of the API; 0.0.0.0 in a container, behind something that ends TLS."""

    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of the API; 0 takes a free one and logs it."""

    agent_nats_url: str = "nats://127.0.0.1:4222"
    """Where agents reach the bus, as seen from their clusters."""

    jwt_secret: SecretStr = SecretStr("")
    """Signs access tokens; at least 32 characters. Replicas share it; a new one logs nobody out for good."""

    secrets_key: SecretStr = SecretStr("")
    """AES-256 key of stored secrets, 64 hex digits."""

    secrets_key_previous: SecretStr = SecretStr("")
    """The key before a rotation: still read, never written with. Empty: none."""

    callout_issuer_seed: SecretStr = SecretStr("")
    """Account nkey seed (SA…); its public half is nats-server's auth_callout issuer. Empty: no agent can connect."""

    nats_account: str = "SPOT"
    """The NATS account that agents are put into: where the services are."""

    access_token_lifetime: timedelta = timedelta(minutes=15)
    """How long a person's access token works; a changed role or a log-out takes effect within it."""

    refresh_token_lifetime: timedelta = timedelta(days=30)
    """How long a log-in lasts, however often it is refreshed."""

    log_in_attempts: int = Field(default=10, ge=1)
    """Failed log-ins per address within `log_in_window` before more are refused."""

    log_in_window: timedelta = timedelta(minutes=15)
    """See log_in_attempts."""

    install_token_lifetime: timedelta = timedelta(days=7)
    """How long an install token waits for its first use."""

    install_token_reuse: timedelta = timedelta(hours=24)
    """How long after its first use it works again, for an agent that crashed before it stored its credential."""

    agent_connection_lifetime: timedelta = timedelta(hours=12)
    """After this an agent must show its credential to the bus again."""

    ask_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long another service may take to answer before people get a 503."""

    watch_period_seconds: float = Field(default=1.0, gt=0)
    """How often a watched execution is looked at."""

    keepalive_seconds: float = Field(default=15.0, gt=0)
    """How often a quiet event stream says that it lives."""
