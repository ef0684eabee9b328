"""The two forms of an exported audit chain, written by the Config Service and read by whoever checks one offline.

NDJSON: the first line is the `AuditChain` of the export, each further line one link. CSV: a header, then one link a
line; a file for spreadsheets has no place for more, so that whoever checks it must know the hash of its end from
elsewhere to notice that the end is missing.

A cell that a spreadsheet might take for a formula is written with a leading apostrophe, and so is one that begins with
an apostrophe or is empty on purpose: reading takes exactly one away, and nothing is lost.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from incidentfox.contracts.audit import AuditChain, AuditEvent, SealedAuditEvent
from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.hash_chain import Link

Row = tuple[Link, dict[str, Any] | None]
"""One link and the event that it holds, as it was written; None where the event is gone."""

_LINK = ("seq", "previous_hash", "hash")
_EVENT = tuple(AuditEvent.model_fields)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def csv_header() -> str:
    """The first line of a CSV export."""
    return _csv_line((*_LINK, *_EVENT))


def csv_row(sealed: SealedAuditEvent) -> str:
    """One link as a line of CSV."""
    event = sealed.event.model_dump(mode="json") if sealed.event else {}
    cells = [_cell(event.get(name), as_json=name == "detail") for name in _EVENT]
    return _csv_line((str(sealed.seq), sealed.previous_hash, sealed.hash, *cells))


def read_export(lines: Iterable[str]) -> tuple[AuditChain | None, Iterator[Row]]:
    """The part of the chain that an export claims to hold (None for CSV), and its rows. Invalid: it is no export."""
    remaining = iter(lines)
    first = next(remaining, "")
    if first.strip() == csv_header().strip():
        return None, _csv_rows(remaining)
    try:
        return AuditChain.model_validate_json(first), _ndjson_rows(remaining)
    except ValidationError as error:
        raise Invalid(
            "This is no export of the audit: it begins with neither an AuditChain nor the CSV header.",
            code="not_an_audit_export",
        ) from error


def _ndjson_rows(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=2):
        try:
            row = json.loads(line)
            yield Link(int(row["seq"]), str(row["previous_hash"]), str(row["hash"])), row["event"]
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(number) from error


def _csv_rows(lines: Iterator[str]) -> Iterator[Row]:
    for number, cells in enumerate(csv.reader(lines), start=2):
        try:
            row = dict(zip((*_LINK, *_EVENT), cells, strict=True))
            link = Link(int(row["seq"]), row["previous_hash"], row["hash"])
            event: dict[str, Any] = {name: _plain(row[name]) for name in _EVENT if row[name]}
            if "detail" in event:
                event["detail"] = json.loads(event["detail"])
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(number) from error
        yield link, event or None


def _cell(value: object, *, as_json: bool) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if as_json else str(value)
    return f"'{text}" if not text or text.startswith(_FORMULA) else text


def _plain(cell: str) -> str:
    return cell.removeprefix("'")


def _csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _unreadable(number: int) -> Invalid:
    return Invalid(f"Row {number} of the export cannot be read.", code="unreadable_audit_export")
