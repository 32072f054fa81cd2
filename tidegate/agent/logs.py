"""Log lines of the agent: an event and its fields, on standard error."""

import logging
import sys

import structlog

from tidegate.config.records import LogFormat, LogSeverity

_LEVELS = {
    LogSeverity.DEBUG: logging.DEBUG,
    LogSeverity.INFO: logging.INFO,
    LogSeverity.WARNING: logging.WARNING,
    LogSeverity.ERROR: logging.ERROR,
}


def configure(severity: LogSeverity, form: LogFormat) -> None:
    """Sets up logging for the whole process; once, by the program's entry."""
    renderer: structlog.typing.Processor
    if form is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form is LogFormat.JSON else _as_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[severity]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _as_is(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event
