"""Structured logs: one JSON object a line, with the correlation id of the event that caused it.

The correlation id is born at the webhook and travels in the `X-Correlation-Id` header and in the run; it is held in
a context variable, so that no function has to pass it on.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TextIO

import structlog

from incidentfox.kernel.ids import new_id
from incidentfox.kernel.redaction import redact, redact_text

CORRELATION_HEADER = "X-Correlation-Id"
_WELL_FORMED = re.compile(r"^[A-Za-z0-9_.:-]{8,128}$")
_SECRET_FIELD = re.compile(r"(?i)secret|token|password|authorization|api_?key|signature|cookie")
_ENCODER = json.JSONEncoder(default=repr)  # made once: `json.dumps` makes one for each line
_correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Called once by each process, before anything logs. Standard-library loggers come out in the same form."""
    # Secrets are masked before the stamps are added, which hold none: looking at them again costs as much as the rest.
    masked: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _mask_secrets]
    stamped: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamp(service),
        structlog.processors.JSONRenderer(serializer=lambda event, **_: _ENCODER.encode(event)),
    ]
    structlog.configure(
        processors=[*masked, *stamped],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *masked, *stamped]
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
    """The caller's id if it is well-formed and no secret, a new one otherwise: an id is data from outside."""
    if offered and _WELL_FORMED.fullmatch(offered) and redact_text(offered) == offered:
        return offered
    return new_id("cor")


@contextmanager
def correlated(value: str) -> Iterator[str]:
    """Everything logged or called inside carries this correlation id."""
    reset = _correlation_id.set(value)
    try:
        yield value
    finally:
        _correlation_id.reset(reset)


class _Lines:
    """Writes one line per event. Like the standard library's handler, it does not fail what it tells about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):  # a pipe whose reader is gone; a stream that is closed
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = fatal = msg


def _stamp(service: str) -> structlog.typing.Processor:
    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        current = _correlation_id.get()
        if current is not None:
            event.setdefault("correlation_id", current)
        return event

    return stamp


@lru_cache(maxsize=4096)
def _names_a_secret(field: str) -> bool:
    return _SECRET_FIELD.search(field) is not None


def _mask_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: a field that is named like a secret is never printed, nor text that looks like one."""
    for key, value in event.items():
        if _names_a_secret(key):
            event[key] = "[redacted]"
        elif isinstance(value, str | list | tuple | dict):
            event[key] = redact(value)
    return event
