"""Settings of the optimizer."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings


class OptimizerSettings(ServiceSettings):
    """What an operator may set, as OPTIMIZER_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="OPTIMIZER_", frozen=True)

    plan_period: timedelta = timedelta(minutes=10)
    """How often each cluster is planned without being asked."""

    look_period: timedelta = timedelta(seconds=0.2)
    """How often the planner looks for planning that is due."""

    pending_settle: timedelta = timedelta(seconds=10)
    """How long a pod must have been pending before nodes are launched for it, while kube-scheduler has not said
    that it fits nowhere, or a plan is being carried out: most are bound sooner."""

    pending_patience: timedelta = timedelta(minutes=2)
    """How long a plan for pending pods may wait to be carried out before another is made; it expires then."""

    cluster_max_age: timedelta = timedelta(seconds=120)
    """A cluster whose agent has been silent for longer is not planned: stale is never fresh."""

    plan_time_limit: timedelta = timedelta(seconds=60)
    """How long one plan may be worked on; then the best found until then is taken, and says so."""

    plan_lifetime: timedelta = timedelta(hours=1)
    """How long a proposed plan can be approved."""

    quote_timeout_seconds: float = Field(default=30.0, gt=0)
    """How long pricing may take to answer."""

    quotes_fresh_for: timedelta = timedelta(seconds=15)
    """Quotes are asked for again after this; planning several clusters of a region shares one answer."""
