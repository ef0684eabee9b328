"""Structured logs: one JSON object a line, with the correlation id of the event that caused it.

The correlation id is born at the webhook and travels in the `X-Correlation-Id` header and in the run; it is held in
a context variable, so that no function has to pass it on.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

from incidentfox.kernel.ids import new_id
from incidentfox.kernel.redaction import redact

CORRELATION_HEADER = "X-Correlation-Id"
_WELL_FORMED = re.compile(r"^[A-Za-z0-9_.:-]{8,128}$")
_SECRET_FIELD = re.compile(r"(?i)secret|token|password|authorization|api_?key|signature|cookie")
_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Called once by each process, before anything logs. Standard-library loggers come out in the same form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamp(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _mask_secrets,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Nothing of these is in a line of ours, and finding the caller costs as much as writing it (see the Optimization
    # section of the logging documentation).
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    logging.getLogger("uvicorn.access").handlers[:] = []
    logging.getLogger("uvicorn.access").propagate = False
    for noisy in ("httpx2", "httpcore2", "dbos"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def correlation_id() -> str | None:
    """The correlation id of whatever is being handled now."""
    return _correlation_id.get()


def accept_correlation_id(offered: str | None) -> str:
    """The caller's id if it is well-formed, a new one otherwise: an id is data from outside."""
    return offered if offered and _WELL_FORMED.fullmatch(offered) else new_id("cor")


@contextmanager
def correlated(value: str) -> Iterator[str]:
    """Everything logged or called inside carries this correlation id."""
    reset = _correlation_id.set(value)
    try:
        yield value
    finally:
        _correlation_id.reset(reset)


def _stamp(service: str) -> structlog.typing.Processor:
    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        current = _correlation_id.get()
        if current is not None:
            event.setdefault("correlation_id", current)
        return event

    return stamp


def _mask_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: a field that is named like a secret is never printed, nor text that looks like one."""
    for key, value in event.items():
        if _SECRET_FIELD.search(key):
            event[key] = "[redacted]"
        elif isinstance(value, str | list | tuple | dict):
            event[key] = redact(value)
    return event
