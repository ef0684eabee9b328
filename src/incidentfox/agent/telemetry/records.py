"""Reads log records, spans and changes from the JSON that recordings and live feeds share.

The form is that of a recorded incident; live feeds send the same objects one a line. Times are RFC 3339 text or Unix
seconds. Fields that have no column of their own are kept as attributes. Raises Unprocessable, naming the source and
the line, for what cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from incidentfox.analysis.signals import (
    Changes,
    Commit,
    DatabaseSession,
    Deploy,
    FlagChange,
    LogPattern,
    LogRecord,
    Span,
    StatusNotice,
)
from incidentfox.kernel.errors import Unprocessable

Fields = Mapping[str, Any]

_SPAN_COLUMNS = frozenset(
    {"trace_id", "span_id", "parent_id", "service", "name", "start", "duration_ms", "status", "error"}
    | {"status_message", "kind", "attributes"}
)
_LOG_COLUMNS = frozenset({"timestamp", "service", "severity_text", "severity", "level", "msg", "message", "trace_id"})


class Unreadable(Unprocessable):
    """A telemetry source sent something that is not in its documented form."""

    default_code = "telemetry_unreadable"


def parse_time(value: Any) -> float:
    """Unix seconds from RFC 3339 text (a missing offset means UTC) or a number; ValueError otherwise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def json_lines(text: str, source: str) -> Iterator[Fields]:
    """The objects of NDJSON text. A line that is cut off at the very end (a feed being written to) is left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            if number == len(lines) and not text.endswith("\n"):
                return
            raise Unreadable(f"Line {number} of {source} is not JSON.") from error


def json_document(text: str, source: str) -> Any:
    """The JSON document; None for empty text."""
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        raise Unreadable(f"{source} is not JSON.") from error


def read_logs(rows: Iterable[Fields], source: str) -> list[LogRecord]:
    """Log records, oldest first."""
    with _reading(source) as at:
        records = []
        for at.row, row in enumerate(rows, 1):
            records.append(
                LogRecord(
                    time=parse_time(row["timestamp"]),
                    service=str(row.get("service") or ""),
                    severity=str(row.get("severity_text") or row.get("severity") or row.get("level") or ""),
                    message=str(row.get("msg") or row.get("message") or ""),
                    trace_id=row.get("trace_id"),
                    attributes={key: value for key, value in row.items() if key not in _LOG_COLUMNS},
                )
            )
    return sorted(records, key=lambda record: record.time)


def read_spans(rows: Iterable[Fields], source: str) -> list[Span]:
    """Spans, in the order they came."""
    with _reading(source) as at:
        spans = []
        for at.row, row in enumerate(rows, 1):
            inner = row.get("attributes")
            attributes = dict(inner) if isinstance(inner, dict) else {}
            attributes |= {key: value for key, value in row.items() if key not in _SPAN_COLUMNS}
            spans.append(
                Span(
                    trace_id=str(row["trace_id"]),
                    span_id=str(row["span_id"]),
                    parent_id=row.get("parent_id") or None,
                    service=str(row["service"]),
                    name=str(row["name"]),
                    start=parse_time(row["start"]),
                    duration_ms=float(row["duration_ms"]),
                    status=str(row.get("status") or "UNSET"),
                    error=row.get("error") or row.get("status_message"),
                    kind=row.get("kind"),
                    attributes=attributes,
                )
            )
    return spans


def read_patterns(rows: Iterable[Fields], source: str) -> list[LogPattern]:
    """Counted log signatures; `delta_vs_baseline` is signed text such as `+610`."""
    with _reading(source) as at:
        patterns = []
        for at.row, row in enumerate(rows, 1):
            delta = row.get("delta_vs_baseline")
            patterns.append(
                LogPattern(
                    signature=str(row["signature"]),
                    service=str(row.get("service") or ""),
                    count=int(row["count"]),
                    delta=None if delta in (None, "") else int(delta),
                    sentiment=str(row.get("sentiment") or "neutral"),
                )
            )
    return patterns


def read_changes(
    commits: Iterable[Fields], deploys: Iterable[Fields], flags: Iterable[Fields], notices: Iterable[StatusNotice]
) -> Changes:
    """Commits, deploys and flags, oldest first in each list."""
    with _reading("commits") as at:
        read_commits = []
        for at.row, row in enumerate(commits, 1):
            read_commits.append(
                Commit(
                    sha=str(row["sha"]),
                    author=str(row.get("author") or ""),
                    time=parse_time(row["timestamp"]),
                    message=str(row.get("message") or ""),
                    files=tuple(str(path) for path in row.get("files_changed") or ()),
                    diff=row.get("diff") or None,
                )
            )
    with _reading("deploys") as at:
        read_deploys = []
        for at.row, row in enumerate(deploys, 1):
            sha, version = str(row.get("commit_sha") or ""), str(row.get("version") or "")
            read_deploys.append(Deploy(parse_time(row["timestamp"]), str(row["service"]), sha, version))
    with _reading("flags") as at:
        read_flags = []
        for at.row, row in enumerate(flags, 1):
            service, actor = str(row.get("service") or ""), str(row.get("actor") or "")
            time, change = parse_time(row["timestamp"]), str(row.get("change") or "")
            read_flags.append(FlagChange(time, str(row["flag"]), service, change, actor))
    return Changes(
        commits=tuple(sorted(read_commits, key=lambda commit: commit.time)),
        deploys=tuple(sorted(read_deploys, key=lambda deploy: deploy.time)),
        flags=tuple(sorted(read_flags, key=lambda flag: flag.time)),
        notices=tuple(notices),
    )


def read_notices(document: Any, source: str) -> list[StatusNotice]:
    """A status feed: one feed or a list of feeds, each with its `events`, or bare events."""
    feeds = document if isinstance(document, list) else [document] if document else []
    notices = []
    with _reading(source) as at:
        for at.row, feed in enumerate(feeds, 1):
            for event in feed.get("events") or ([feed] if "timestamp" in feed else []):
                notices.append(
                    StatusNotice(
                        time=parse_time(event["timestamp"]),
                        component=str(event.get("component") or feed.get("component") or ""),
                        status=str(event.get("status") or ""),
                        summary=str(event.get("detail") or event.get("summary") or ""),
                    )
                )
    return sorted(notices, key=lambda notice: notice.time)


def read_sessions(rows: Iterable[Fields], source: str) -> list[DatabaseSession]:
    """A database's sessions, in the order they came."""
    with _reading(source) as at:
        sessions = []
        for at.row, row in enumerate(rows, 1):
            sessions.append(
                DatabaseSession(
                    pid=int(row["pid"]),
                    application=str(row.get("application") or ""),
                    state=str(row.get("state") or ""),
                    wait_event=row.get("wait_event") or None,
                    transaction_age_s=float(row.get("transaction_age_s") or 0.0),
                    query_age_s=float(row.get("query_age_s") or 0.0),
                    query=str(row.get("query") or ""),
                    blocked_by=tuple(int(pid) for pid in row.get("blocked_by") or ()),
                )
            )
    return sessions


class _reading:
    """Names the source and the row when a row is not in the form that was promised."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.row = 0

    def __enter__(self) -> _reading:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, KeyError):
            raise Unreadable(f"Row {self.row} of {self.source} has no field {error.args[0]!r}.") from error
        if isinstance(error, ValueError | TypeError | AttributeError):
            raise Unreadable(f"Row {self.row} of {self.source} is not in the documented form.") from error
