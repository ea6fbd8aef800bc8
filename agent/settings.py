"""Settings of the agent."""

from datetime import timedelta
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ProcessSettings


class AgentSettings(ProcessSettings):
    """What whoever installs the agent may set, as AGENT_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="AGENT_", frozen=True)

    cluster_id: str = ""
    """The cluster's id, as the gateway gave it; required."""

    install_token: SecretStr = SecretStr("")
    """Shown once when the cluster is connected; needed until the agent is enrolled."""

    state_dir: Path = Path("/var/lib/spot-optimizer-agent")
    """Credential and recent outcomes (files 0600); must outlive a restart of the process."""

    credential_secret: str = ""
    """namespace/name of a Kubernetes Secret to keep the credential in, instead of a file."""

    kubeconfig: str = Field(default="", validation_alias=AliasChoices("kubeconfig", "AGENT_KUBECONFIG"))
    """A kubeconfig file, from AGENT_KUBECONFIG or KUBECONFIG; without one the pod's service account is used."""

    resync_period: timedelta = timedelta(hours=1)
    """How often a full snapshot is published though nobody asked."""

    resync_at_most_every: timedelta = timedelta(seconds=5)
    """Requests for a snapshot within this time of the last one are answered by one snapshot."""

    delta_period: timedelta = timedelta(milliseconds=300)
    """How long changes are gathered into one delta."""

    heartbeat_period: timedelta = timedelta(seconds=15)
    """How often the agent says that it lives, and at which position."""

    usage_period: timedelta = timedelta(seconds=30)
    """How often metrics.k8s.io is read."""

    credential_refresh: timedelta = timedelta(hours=6)
    """How often the connection is made anew: the bus closes one whose lease (12 h) ran out."""

    refusal_patience: timedelta = timedelta(seconds=60)
    """How long a refusal of the install token by the bus may last before the agent gives up.

    A bus whose gateway is still starting refuses everybody, so the first refusal proves nothing.
    """

    buffer_max_bytes: int = Field(default=64 * 1024**2, ge=64 * 1024)
    """What waits for the bus at most; then deltas are dropped and a snapshot follows."""

    dry_run: bool = False
    """Refuse every command; watch only."""

    excluded_namespaces: frozenset[str] = frozenset()
    """Nothing in these is ever evicted, scaled or patched, whatever a command says."""

    max_drains_in_parallel: int = Field(default=5, ge=1)
    """Further drains wait for their turn; those of interrupted nodes do not."""

    abandoned_after: timedelta = timedelta(minutes=10)
    """How long after its deadline a drain that nobody asks for any more is undone.

    A platform that is out of reach for as long is said to be so, in a Kubernetes Event.
    """
