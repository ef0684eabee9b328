"""`incidentfox audit verify FILE`: what it says about whole and about broken exports, with nobody to ask."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from incidentfox.cli.audit import app
from incidentfox.clients.audit_export import csv_header, csv_row
from incidentfox.contracts.audit import AuditChain, AuditEvent, ChainPoint, SealedAuditEvent
from incidentfox.kernel.hash_chain import GENESIS, Point, next_link

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def links(count: int) -> list[SealedAuditEvent]:
    """A chain as the Config Service seals it."""
    point, made = GENESIS, []
    for number in range(1, count + 1):
        event = AuditEvent(
            event_id=f"aud_{number}",
            org_id="acme",
            team_node_id=None,
            at=NOW,
            actor="user:ana",
            action="secret.written",
            target=f"shops/key-{number}",
            correlation_id=None,
            source_address="10.0.0.7",
            before_hash=None,
            after_hash=None,
            detail={"note": "line one\nline two\u2028"},
        )
        link = next_link(point, event.model_dump(mode="json"))
        made.append(SealedAuditEvent(seq=link.seq, previous_hash=link.previous_hash, hash=link.hash, event=event))
        point = link.point
    return made


def write(path: Path, chain: list[SealedAuditEvent], upto: SealedAuditEvent | None = None) -> Path:
    """An export of a chain; `upto` is where it says that it ends."""
    last = upto or chain[-1]
    head = AuditChain(
        org_id="acme",
        start=ChainPoint(seq=0, hash=GENESIS.hash),
        end=ChainPoint(seq=last.seq, hash=last.hash),
        unsealed=0,
    )
    lines = [head.model_dump_json(), *(link.model_dump_json() for link in chain)]
    path.write_text("".join(f"{line}\n" for line in lines), newline="")
    return path


def verify(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_whole_export_is_whole(tmp_path: Path) -> None:
    chain = links(4)
    code, output = verify(write(tmp_path / "a.ndjson", chain))
    assert (code, output) == (0, f"whole: 4 links, up to 4:{chain[-1].hash}\n")


def test_a_changed_row_is_named_with_what_it_says(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", links(4))
    file.write_text(file.read_text().replace("shops/key-3", "shops/key-9"))
    code, output = verify(file)
    assert code == 1
    assert "BROKEN at link 3: its event was changed" in output
    assert "shops/key-9" in output
    assert "whole before that: 2 links" in output


def test_a_row_that_is_gone_and_an_end_that_is_cut_off(tmp_path: Path) -> None:
    chain = links(5)
    code, output = verify(write(tmp_path / "a.ndjson", [*chain[:2], *chain[3:]]))
    assert (code, "BROKEN at link 3: 3 is missing" in output) == (1, True)
    code, output = verify(write(tmp_path / "b.ndjson", chain[:3], upto=chain[4]))
    assert (code, "BROKEN at link 4: 4 to 5 are missing from the end" in output) == (1, True)


def test_a_kept_point_tells_a_rewritten_chain(tmp_path: Path) -> None:
    chain = links(5)
    file = write(tmp_path / "a.ndjson", chain)
    kept = Point(3, chain[2].hash)
    assert verify(file, "--known", f"{kept.seq}:{kept.hash}")[0] == 0
    code, output = verify(file, "--known", f"{kept.seq}:sha256:other")
    assert (code, "BROKEN at link 3: differs from the point that is known" in output) == (1, True)


def test_csv_is_checked_too_and_says_what_it_cannot_tell(tmp_path: Path) -> None:
    chain = links(4)
    file = tmp_path / "a.csv"
    file.write_text(csv_header() + "".join(csv_row(link) for link in chain), newline="")
    code, output = verify(file)
    assert code == 0
    assert "note: CSV does not say where the chain ends" in output
    file.write_text(csv_header() + "".join(csv_row(link) for link in chain[:-1]), newline="")
    code, output = verify(file, "--known", f"4:{chain[-1].hash}")
    assert (code, "4 is missing from the end" in output) == (1, True)


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"org_id": "acme"}'])
def test_what_is_no_export_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a"
    file.write_text(content)
    code, output = verify(file)
    assert (code, "not_an_audit_export" in output) == (1, True)
    file = write(tmp_path / "b", links(2))
    file.write_text(file.read_text() + "not json\n")
    code, output = verify(file)
    assert (code, "Row 4 of the export cannot be read" in output) == (1, True)
