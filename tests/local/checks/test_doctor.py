"""The doctor on broken installations: each thing that can be wrong is found, named, and has a remedy."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.local.checks.database import check_database
from incidentfox.local.checks.finding import Finding, State
from incidentfox.local.checks.home import KEY_FILES, check_home
from incidentfox.local.checks.machine import check_machine
from incidentfox.local.checks.services import check_services
from incidentfox.local.database import ROLES
from incidentfox.local.doctor import examine
from incidentfox.local.keys import load_or_create_keys
from incidentfox.local.settings import LocalSettings
from incidentfox.local.stack import IDENTITIES


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation that is made and not running."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    load_or_create_keys(folder / "keys", IDENTITIES, ROLES)
    return folder


def bad(findings: list[Finding]) -> dict[str, Finding]:
    found = {finding.check: finding for finding in findings if finding.state in {State.FAILED, State.WARNING}}
    assert all(finding.remedy for finding in found.values())
    return found


def test_a_home_that_is_whole_has_nothing_to_say(home: Path) -> None:
    assert bad([*check_machine(home), *check_home(home)]) == {}


def test_a_home_that_is_not_there_is_a_note_and_is_not_made(tmp_path: Path) -> None:
    (finding,) = check_home(tmp_path / "none")
    assert finding.state is State.NOTE
    assert not (tmp_path / "none").exists()


def _open_to_others(home: Path) -> None:
    (home / "keys" / "pepper").chmod(0o644)


def _writable_for_others(home: Path) -> None:
    home.chmod(0o777)


def _without_master_key(home: Path) -> None:
    (home / "keys" / "master.json").unlink()


def _damaged_key(home: Path) -> None:
    (home / "keys" / "agent.jwk").write_text("{}")


def _damaged_ports(home: Path) -> None:
    (home / "ports.json").write_text("[1")


@pytest.mark.parametrize(
    ("break_it", "check", "words"),
    [
        (_open_to_others, "file modes", "pepper is open to other users"),
        (_writable_for_others, "folder", "others may write"),
        (_without_master_key, "keys", "master.json; without it the stored secrets"),
        (_damaged_key, "keys", "unusable"),
        (_damaged_ports, "ports", "is damaged"),
    ],
)
def test_what_is_broken_in_the_home_is_named(
    home: Path, break_it: Callable[[Path], None], check: str, words: str
) -> None:
    break_it(home)
    assert words in bad([*check_home(home)])[check].found


def test_looking_makes_nothing(home: Path) -> None:
    for name in KEY_FILES:
        (home / "keys" / name).unlink()
    list(check_home(home))
    assert list((home / "keys").iterdir()) == []


def test_a_port_that_somebody_else_took_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (home / "ports.json").write_text(json.dumps({"agent": port}))
        assert f"port {port}, kept for agent" in bad([*check_home(home)])["ports"].found


def _at(url: str, home: Path) -> LocalSettings:
    return LocalSettings(home=home, DATABASE_URL=url)


def test_a_migrated_database_passes(database: Database, home: Path) -> None:
    findings = list(check_database(_at(database.url(OWNER), home)))
    assert bad(findings) == {}
    assert {finding.check for finding in findings} == {"server", "clock", "schema", "roles"}


def test_an_old_schema_and_an_empty_database_are_told_apart(database: Database, home: Path) -> None:
    execute(database.url(OWNER), "UPDATE config_schema_version SET version_num = '0001'")
    assert "at revision 0001" in bad(list(check_database(_at(database.url(OWNER), home))))["schema"].found
    execute(database.url(OWNER), "DROP TABLE config_schema_version")
    assert "no tables yet" in bad(list(check_database(_at(database.url(OWNER), home))))["schema"].found


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@127.0.0.1:1/db", "postgres//me:hunter2@host"])
def test_a_database_that_cannot_be_reached_is_said_without_the_password(url: str, home: Path) -> None:
    finding = bad(list(check_database(_at(url, home))))["server"]
    assert "hunter2" not in finding.model_dump_json()


@pytest.mark.anyio
async def test_a_service_that_is_away_has_failed_only_when_it_should_be_there() -> None:
    for expected, state in ((True, State.FAILED), (False, State.NOTE)):
        (finding,) = [
            one async for one in check_services({"agent": "http://127.0.0.1:9"}, "Its log.", expected=expected)
        ]
        assert finding.state is state


@pytest.mark.anyio
async def test_the_doctor_works_where_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENTFOX_HOME", str(tmp_path / "none"))
    findings = [finding async for finding in examine()]
    assert bad(findings) == {}
    assert {"machine", "home", "database"} == {finding.part for finding in findings}
