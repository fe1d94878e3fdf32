"""Logs of all programs: one JSON line each on standard error, with the ids of the request or job that it is about."""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter

HANDLER = "lipe"
FIRST_FIELDS = ("timestamp", "level", "logger", "event")
OURS = ("api", "ledger", "lipe_core", "worker")
SERVERS = ("celery", "uvicorn")
"""Libraries whose informative lines say that a program is ready, or ends."""


def configure() -> None:
    """Format the lines of our modules, of all libraries, of warnings and of uncaught errors alike.

    A second call changes nothing.
    """
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
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _first_fields_first,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root.addHandler(handler)
    for name in (*OURS, *SERVERS):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _first_fields_first(logger: object, method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Sort the fields so that a person finds the same ones at the same place of each line."""
    return {name: fields[name] for name in FIRST_FIELDS if name in fields} | {**fields}


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("uncaught").critical("the program ends: %s", error, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    error = failure.exc_value
    if error is None or isinstance(error, SystemExit):
        return
    name = failure.thread.name if failure.thread else "?"
    logging.getLogger("uncaught").critical(
        "the thread %s ends: %s", name, error, exc_info=(type(error), error, failure.exc_traceback)
    )


def adopt(*libraries: str) -> None:
    """Give the lines of libraries that log by handlers of their own the format of all others."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
