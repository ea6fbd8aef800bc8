"""Run the gateway: `python -m services.gateway`."""

from services.gateway import app
from services.gateway.settings import GatewaySettings
from shared.runtime import service

if __name__ == "__main__":
    service.main("gateway", GatewaySettings, app.wiring)
