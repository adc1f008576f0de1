"""Logs of the serving programs: a constant event name, the data in fields, one line each, on standard error.

Everything goes one way: structlog's own loggers and those of the libraries (uvicorn, alembic, the queue) end in one
handler, as text for people or JSON for machines. Names of fields are in ``FIELDS``. A value whose name says that it
is a secret is hidden, whoever logs it; that is the last net and no licence to log secrets.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tenterhook.cli.terminal import visible

FIELDS = ("timestamp", "level", "logger", "event", "tenant", "run", "attempt", "hook", "worker", "request")
"""The fields that lines share, in the order in which text shows them; others follow."""

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|cookie|api_?key|private", re.IGNORECASE
)

# Chatty below warning, and nothing in it that our own events do not say.
_QUIET_LIBRARIES = ("alembic", "asyncio", "httpcore", "httpx", "pgqueuer", "sqlalchemy", "uvicorn")


def hide_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Hide the values of fields whose names say that they are secret."""
    del logger, method
    for name in event:
        if _SECRET_NAME.search(name) and not isinstance(event[name], bool | int | float | None):
            event[name] = HIDDEN
    return event


def make_visible(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace control characters in texts: whoever reads a log in a terminal is not to be played with."""
    del logger, method
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}


def configure_logging(
    style: Literal["text", "json"],
    level: Literal["debug", "info", "warning", "error"],
    *,
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process to ``stream`` (default: standard error). Call it once, at start."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
    ]
    rendering: list[Processor] = (
        [
            # Without the values of local variables: passwords and secrets are among them.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
        if style == "json"
        else [
            structlog.processors.format_exc_info,
            make_visible,
            structlog.processors.KeyValueRenderer(key_order=list(FIELDS[:4]), drop_missing=True),
        ]
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a later call must reach loggers that modules already made
    )
