"""`python -m services.reporting`."""

from services.reporting import app
from services.reporting.settings import ReportingSettings
from shared.runtime import service

if __name__ == "__main__":
    service.main("reporting", ReportingSettings, app.wiring)
