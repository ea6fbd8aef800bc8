"""Settings of the reporting service."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings

Positive = Annotated[timedelta, Field(gt=timedelta(0))]


class ReportingSettings(ServiceSettings):
    """What an operator may set, as REPORTING_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="REPORTING_", frozen=True)

    slice: Positive = timedelta(minutes=5)
    """How much time is closed at once; slices begin at multiples of it, and wherever a baseline begins.

    A shorter one shows savings sooner and costs rows: one a node and slice, at least.
    """

    settle: Annotated[timedelta, Field(ge=timedelta(0))] | None = None
    """How long after its end a slice is closed, so that prices that took effect in it have arrived; None: one slice.

    A price that arrives later still counts from the next slice on only.
    """

    tick_period: Positive = timedelta(seconds=2)
    """How often we look for slices to close."""

    stale_after: Positive = timedelta(minutes=15)
    """Silence of an agent after which the gap is told in the activity feed; slices wait in any case."""

    price_refresh_period: Positive = timedelta(minutes=10)
    """How often pricing is asked for the prices of our clusters' regions, in case its events are gone; new
    regions are asked for at once."""

    @property
    def settle_for(self) -> timedelta:
        """The delay that is in force."""
        return self.slice if self.settle is None else self.settle
