"""structlog for everyone: JSON for machines, colours for a terminal; foreign loggers go through the same chain."""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal

import structlog

SECRET_WORDS = ("password", "secret", "token", "credential", "authorization")
QUIET_LOGGERS = (
    "botocore",
    "aiobotocore",
    "aioboto3",
    "nats",
    "faststream",
    "kubernetes_asyncio",
    "aiohttp.access",
)


def hide_secrets(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Blank every value whose key sounds like a secret, in mappings too."""
    for key, value in event.items():
        event[key] = _hidden(key, value)
    return event


def _hidden(key: object, value: object) -> object:
    if any(word in str(key).lower() for word in SECRET_WORDS):
        return "***"
    if isinstance(value, Mapping):
        return {k: _hidden(k, v) for k, v in value.items()}
    return value


def configure(*, service: str, level: str = "info", form: Literal["json", "console"] = "json") -> None:
    """Set up structlog and the standard library's loggers for this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
