"""`python -m services.pricing`."""

from services.pricing import app
from services.pricing.settings import PricingSettings
from shared.runtime import service

if __name__ == "__main__":
    service.main("pricing", PricingSettings, app.wiring)
