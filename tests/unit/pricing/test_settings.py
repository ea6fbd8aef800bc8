"""Settings that cannot be are refused in words, and every one is on the page."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.pricing.settings import PricingSettings
from shared.runtime.settings import ServiceSettings, wrong_variables

DAY = timedelta(days=1)
PAGE = Path(__file__).parents[3] / "docs" / "pricing.md"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"allowed_regions": "("}, "PRICING_ALLOWED_REGIONS: Value error, '(' is no regular expression"),
        ({"most_regions": 0}, "PRICING_MOST_REGIONS: Input should be greater than 0"),
        ({"aws_requests_per_second": 0}, "PRICING_AWS_REQUESTS_PER_SECOND: Input should be greater than 0"),
        ({"aws_request_burst": 0}, "PRICING_AWS_REQUEST_BURST: Input should be greater than 0"),
        (
            {"price_days_kept": 10 * DAY},
            "PRICING_PRICE_DAYS_KEPT: Value error, 10 days is shorter than price_events_kept (90 days)",
        ),
        (
            {"price_events_kept": 400 * DAY},
            "PRICING_PRICE_DAYS_KEPT: Value error, 396 days is shorter than price_events_kept (400 days)",
        ),
        (
            {"notices_kept": 13 * DAY},
            "PRICING_NOTICES_KEPT: Value error, 13 days is shorter than SQS may keep",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PricingSettings(**given)  # type: ignore[arg-type]
    assert sentence in wrong_variables(refused.value, prefix="pricing")


def test_every_setting_is_on_the_page_and_nothing_else() -> None:
    own = PricingSettings.model_fields.keys() - ServiceSettings.model_fields.keys()
    rows = [
        line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| `PRICING_")
    ]
    assert sorted(rows) == sorted(f"`PRICING_{name.upper()}`" for name in own)
