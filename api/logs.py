"""Logs: one JSON line each, on standard error, with the request's id if there is a request."""

import logging

import structlog
from structlog.stdlib import ProcessorFormatter

HANDLER = "lipe"


def configure() -> None:
    """Format the logs of our modules and of all libraries alike. A second call changes nothing."""
    root = logging.getLogger()
    if any(handler.name == HANDLER for handler in root.handlers):
        return
    handler = logging.StreamHandler()
    handler.name = HANDLER
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
            ],
            processors=[ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        )
    )
    root.addHandler(handler)
    logging.getLogger("api").setLevel(logging.INFO)
