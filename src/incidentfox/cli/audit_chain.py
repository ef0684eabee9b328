"""Checks an exported audit chain without asking anybody: what `incidentfox audit verify` says about a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from incidentfox.clients.audit_export import read_export
from incidentfox.contracts.audit import AuditChain
from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.hash_chain import Break, Point, Verifier

_SHOWN = ("event_id", "at", "actor", "action", "target")


@dataclass(frozen=True)
class Verdict:
    """Whether a chain is whole; if not, where it breaks first. `links` is how many hold, `end` the last of them."""

    links: int
    end: Point
    broken: Break | None
    event: str
    notes: tuple[str, ...]


def verify_lines(lines: Iterable[str], known: tuple[Point, ...] = ()) -> Verdict:
    """Walks an export in either form. Raises Invalid for what is no export or cannot be read."""
    chain, rows = read_export(lines)
    first = next(rows, None)
    if chain is not None:
        start = Point(chain.start.seq, chain.start.hash)
        known = (*known, Point(chain.end.seq, chain.end.hash))
    else:
        start = Point(first[0].seq - 1, first[0].previous_hash) if first else Point(0, "")
    verifier, count = Verifier(start, known), 0
    row = first
    while row is not None:
        broken = verifier.check(*row)
        if broken is not None:
            return Verdict(count, verifier.last, broken, _describe(row[1]), _notes(chain, start, known))
        count += 1
        row = next(rows, None)
    return Verdict(count, verifier.last, verifier.end(), "", _notes(chain, start, known))


def parse_point(text: str) -> Point:
    """`SEQ:HASH` as `incidentfox audit head` prints it; Invalid otherwise."""
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or not digest.startswith("sha256:"):
        raise Invalid(f"{text!r} is not of the form SEQ:sha256:…, as `incidentfox audit head` prints it.")
    return Point(int(seq), digest)


def _notes(chain: AuditChain | None, start: Point, known: tuple[Point, ...]) -> tuple[str, ...]:
    """What a reader must know to weigh the verdict."""
    notes = []
    if start.seq > 0:
        notes.append(f"begins after link {start.seq}; what came before is not in this export")
    if chain is None and not known:
        notes.append("CSV does not say where the chain ends: pass --known SEQ:HASH to notice a missing end")
    if chain is not None and chain.unsealed > 0:
        notes.append(f"{chain.unsealed} events were on record and not in the chain yet; new ones are sealed in seconds")
    return tuple(notes)


def _describe(event: dict[str, Any] | None) -> str:
    return json.dumps({name: event.get(name) for name in _SHOWN}, ensure_ascii=False) if event else ""
