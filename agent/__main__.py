"""`python -m agent`: settings, logging, run; what goes wrong is one sentence, and exit 1."""

import asyncio
import sys

import structlog
from pydantic import ValidationError

from agent import app
from agent.settings import AgentSettings
from shared.kernel.errors import SpotError
from shared.runtime import logging
from shared.runtime.settings import wrong_variables


def main() -> None:
    """Run the agent as this process."""
    log = structlog.get_logger("agent")
    try:
        settings = AgentSettings()
    except ValidationError as error:
        sys.stderr.write(f"error: {wrong_variables(error, prefix='agent')}\n")
        sys.exit(2)
    logging.configure(service="agent", level=settings.log_level, form=settings.log_format)
    try:
        asyncio.run(app.run(settings))
    except (SpotError, OSError) as error:
        log.error("agent_failed", error=str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
