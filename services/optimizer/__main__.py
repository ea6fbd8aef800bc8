"""`python -m services.optimizer`."""

from services.optimizer import app
from services.optimizer.settings import OptimizerSettings
from shared.runtime import service

if __name__ == "__main__":
    service.main("optimizer", OptimizerSettings, app.wiring)
