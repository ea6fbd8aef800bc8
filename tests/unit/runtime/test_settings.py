"""Settings are read from the environment under the service's prefix; secrets do not show."""

import pytest
from pydantic import ValidationError

from services.optimizer.settings import OptimizerSettings
from services.pricing.settings import PricingSettings


def test_the_prefix_decides_whose_setting_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_NATS_URL", "nats://bus:4222")
    monkeypatch.setenv("PRICING_REGIONS", '["eu-west-1"]')
    monkeypatch.setenv("PRICING_REFRESH_PERIOD", "PT1M")
    settings = PricingSettings()
    assert (settings.nats_url, settings.regions) == ("nats://bus:4222", frozenset({"eu-west-1"}))
    assert settings.refresh_period.total_seconds() == 60
    assert OptimizerSettings().nats_url == "nats://127.0.0.1:4222"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEALTH_PORT", "65536"),
        ("HEALTH_PORT", "http"),
        ("DATABASE_POOL_SIZE", "1"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PRICING_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        PricingSettings()


def test_passwords_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICING_DATABASE_URL", "postgresql://pricing:hidden@db/spot")
    monkeypatch.setenv("PRICING_NATS_PASSWORD", "hidden")
    settings = PricingSettings()
    assert "hidden" not in f"{settings!r} {settings} {settings.model_dump_json()}"
