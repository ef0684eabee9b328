"""Writes signals as the files of a recording: the inverse of `recording.py`, for what is kept of live telemetry.

Rows are redacted before they become text, so whatever is made of the files holds no secret. Times are RFC 3339 in
microseconds. Pure.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from incidentfox.analysis.signals import (
    Changes,
    DatabaseSession,
    LogPattern,
    LogRecord,
    Series,
    Span,
    StatusNotice,
)
from incidentfox.contracts.recordings import RecordingFile
from incidentfox.kernel.clock import utc
from incidentfox.kernel.redaction import Redactor, is_storable

Files = dict[RecordingFile, str]


@dataclass(frozen=True)
class RecordedForm:
    """Writes each kind of signal, redacted."""

    redactor: Redactor

    def metrics(self, series: Iterable[Series]) -> Files:
        """`metrics.csv`, one row a sample."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("timestamp", "service", "metric", "value"))
        for one in series:
            service, metric = self.redactor.redact([one.service, one.metric])
            rows.writerows(
                (_time(time), service, metric, repr(value)) for time, value in zip(one.times, one.values, strict=True)
            )
        return {"metrics.csv": text.getvalue()}

    def logs(self, records: Iterable[LogRecord], patterns: Sequence[LogPattern]) -> Files:
        """`logs.ndjson`, and `patterns.json` where the source counts signatures."""
        files: Files = {"logs.ndjson": "".join(f"{self._json(_log(record))}\n" for record in records)}
        if patterns:
            files["patterns.json"] = self._document(
                {
                    "signature": one.signature,
                    "service": one.service,
                    "count": one.count,
                    "delta_vs_baseline": None if one.delta is None else f"{one.delta:+d}",
                    "sentiment": one.sentiment,
                }
                for one in patterns
            )
        return files

    def traces(self, spans: Iterable[Span]) -> Files:
        """`traces.json`."""
        return {"traces.json": self._document({**asdict(span), "start": _time(span.start)} for span in spans)}

    def changes(self, changes: Changes) -> Files:
        """The files below `context/`, and `status_feed.json` where there are notices."""
        commits = (
            {
                "sha": one.sha,
                "author": one.author,
                "timestamp": _time(one.time),
                "message": one.message,
                "files_changed": list(one.files),
                "diff": one.diff,
            }
            for one in changes.commits
        )
        deploys = (
            {"timestamp": _time(one.time), "service": one.service, "commit_sha": one.sha, "version": one.version}
            for one in changes.deploys
        )
        flags = (
            {
                "timestamp": _time(one.time),
                "flag": one.flag,
                "service": one.service,
                "change": one.change,
                "actor": one.actor,
            }
            for one in changes.flags
        )
        files: Files = {
            "context/commits.json": self._document(commits),
            "context/deploys.json": self._document(deploys),
            "context/flags.json": self._document(flags),
        }
        return files | (self._notices(changes.notices) if changes.notices else {})

    def database(self, sessions: Iterable[DatabaseSession]) -> Files:
        """`database_sessions.json`."""
        return {"database_sessions.json": self._document(asdict(session) for session in sessions)}

    def _notices(self, notices: Iterable[StatusNotice]) -> Files:
        rows = (
            {"timestamp": _time(one.time), "component": one.component, "status": one.status, "summary": one.summary}
            for one in notices
        )
        return {"status_feed.json": self._document(rows)}

    def _document(self, rows: Iterable[Mapping[str, Any]]) -> str:
        lines = ",\n".join(self._json(row) for row in rows)
        return f"[\n{lines}\n]\n" if lines else "[]\n"

    def _json(self, row: Mapping[str, Any]) -> str:
        text = json.dumps(row, ensure_ascii=False)
        # Most rows are innocent: one look at the whole spares a walk through all of its values.
        return json.dumps(self.redactor.redact(dict(row)), ensure_ascii=False) if self._may_change(text) else text

    def _may_change(self, text: str) -> bool:
        return self.redactor.suspects(text) or "\\u0000" in text or not (text.isascii() or is_storable(text))


def _log(record: LogRecord) -> Mapping[str, Any]:
    row = {
        "timestamp": _time(record.time),
        "service": record.service,
        "severity_text": record.severity,
        "msg": record.message,
    }
    if record.trace_id is not None:
        row["trace_id"] = record.trace_id
    return {**row, **record.attributes}


def _time(seconds: float) -> str:
    return utc(seconds).isoformat().replace("+00:00", "Z")
