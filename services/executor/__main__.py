"""Run the executor: `python -m services.executor`."""

from services.executor import app
from services.executor.settings import ExecutorSettings
from shared.runtime import service

if __name__ == "__main__":
    service.main("executor", ExecutorSettings, app.wiring)
