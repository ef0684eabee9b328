"""Live feeds and recordings give the same signals; what a feed does wrong is said, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.agent.scenes import alert_of, recorded, small_incident
from tests.agent.twins import FeedsTwin, serve
from tests.environment import Database

from incidentfox.agent.telemetry import http as live
from incidentfox.agent.telemetry.http import HttpTelemetry
from incidentfox.agent.telemetry.postgres import DatabaseRefused, read_sessions
from incidentfox.agent.telemetry.protocol import NoSuchSignal, NoTelemetry, Signal, Window
from incidentfox.agent.telemetry.recording import read_metrics
from incidentfox.agent.telemetry.records import Unreadable, json_lines, parse_time, read_logs, read_notices, read_spans
from incidentfox.contracts.configuration import TelemetryIntegration
from incidentfox.kernel import egress
from incidentfox.kernel.egress import AddressRefused
from incidentfox.kernel.errors import NotFound, Permanent, TooLarge, Unavailable

pytestmark = pytest.mark.anyio

FIRED_AT = alert_of(small_incident()).fired_at.timestamp()
EVER = Window(0, 1e12)


def integration(base: str, *feeds: str) -> TelemetryIntegration:
    return TelemetryIntegration.model_validate({"backend": "http", **{f"{one}_url": f"{base}/{one}" for one in feeds}})


async def no_database() -> str:
    raise NotFound("No secret.")


@pytest.fixture
async def feeds() -> AsyncIterator[HttpTelemetry]:
    async with serve(FeedsTwin(small_incident()).app()) as url:
        telemetry = HttpTelemetry(integration(url, "metrics", "logs", "traces", "changes"), EVER, no_database)
        yield telemetry
        await telemetry.close()


async def test_a_live_feed_and_a_recording_of_it_give_the_same_signals(feeds: HttpTelemetry) -> None:
    recording = recorded(small_incident())
    assert sorted(map(str, await feeds.metrics())) == sorted(map(str, await recording.metrics()))
    assert await feeds.logs() == await recording.logs()
    assert await feeds.traces() == await recording.traces()
    assert await feeds.changes() == await recording.changes()
    assert await feeds.available() == frozenset({Signal.METRICS, Signal.LOGS, Signal.TRACES, Signal.CHANGES})


async def test_signals_outside_the_window_are_left_out() -> None:
    async with serve(FeedsTwin(small_incident()).app()) as url:
        window = Window(FIRED_AT - 600, FIRED_AT + 60)
        telemetry = HttpTelemetry(integration(url, "metrics", "logs", "traces", "changes"), window, no_database)
        series, logs = await telemetry.metrics(), await telemetry.logs()
        changes, spans = await telemetry.changes(), await telemetry.traces()
        await telemetry.close()
    assert series
    assert all(window.start <= time <= window.end for one in series for time in one.times)
    assert logs
    assert all(window.start <= record.time <= window.end for record in logs)
    assert len(changes.commits) == 2, "changes are read a day back"
    assert spans == []


async def test_what_has_no_source_says_so(feeds: HttpTelemetry) -> None:
    with pytest.raises(NoSuchSignal, match="database"):
        await feeds.database()
    for read in (NoTelemetry().metrics, NoTelemetry().logs, NoTelemetry().traces, NoTelemetry().changes):
        with pytest.raises(NoSuchSignal, match=r"integrations\.telemetry"):
            await read()
    assert await NoTelemetry().available() == frozenset()


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (404, b"", Permanent),
        (500, b"", Unavailable),
        (200, b"<html>", Unreadable),
        (200, b"x" * 2000, TooLarge),
    ],
)
async def test_a_feed_that_misbehaves(
    status: int, body: bytes, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_BYTES", 1000)

    async def answer(_: Request) -> Response:
        return Response(body, status)

    async with serve(Starlette(routes=[Route("/metrics", answer)])) as url:
        telemetry = HttpTelemetry(integration(url, "metrics"), EVER, no_database)
        with pytest.raises(raised):
            await telemetry.metrics()
        await telemetry.close()


async def test_a_feed_that_hangs_or_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "READ_TIMEOUT_S", 0.2)
    twin = FeedsTwin(small_incident(), held={"logs": asyncio.Event()})
    async with serve(twin.app()) as url:
        telemetry = HttpTelemetry(integration(url, "logs"), EVER, no_database)
        with pytest.raises(Unavailable):
            await telemetry.logs()
        await telemetry.close()
        twin.held["logs"].set()
    telemetry = HttpTelemetry(integration("http://127.0.0.1:9", "logs"), EVER, no_database, http=httpx2.AsyncClient())
    with pytest.raises(Unavailable):
        await telemetry.logs()
    await telemetry.close()


def test_times_are_rfc_3339_or_unix_seconds() -> None:
    assert parse_time("2026-03-01T10:00:00Z") == parse_time("2026-03-01T11:00:00+01:00") == 1772359200.0
    assert parse_time("2026-03-01T10:00:00") == 1772359200.0
    assert parse_time(1772359200) == 1772359200.0


def test_a_line_that_is_still_being_written_is_left_out_but_not_one_in_the_middle() -> None:
    assert list(json_lines('{"a": 1}\n{"b": ', "x")) == [{"a": 1}]
    with pytest.raises(Unreadable, match="Line 1 of x"):
        list(json_lines('{"b": \n{"a": 1}\n', "x"))


def test_unknown_fields_become_attributes_and_missing_ones_are_named() -> None:
    [record] = read_logs([{"timestamp": 1, "service": "s", "level": "WARN", "message": "m", "db.pool.max": 5}], "x")
    assert (record.severity, record.message, record.attributes) == ("WARN", "m", {"db.pool.max": 5})
    with pytest.raises(Unreadable, match="Row 1 of x has no field 'timestamp'"):
        read_logs([{"service": "s"}], "x")
    with pytest.raises(Unreadable, match="Row 1 of x"):
        read_spans(
            [{"trace_id": "t", "span_id": "s", "service": "a", "name": "n", "start": 1, "duration_ms": "x"}], "x"
        )
    with pytest.raises(Unreadable, match="Line 2"):
        read_metrics("timestamp,service,metric,value\n2026-03-01T10:00:00Z,a,b,many\n")


async def test_no_url_of_a_team_leads_to_the_hosts_own_secrets() -> None:
    for base in ("http://169.254.169.254/latest", "http://2852039166", "http://[::ffff:169.254.169.254]"):
        telemetry = HttpTelemetry(integration(base, "logs", "metrics"), EVER, no_database)
        for read in (telemetry.logs, telemetry.metrics):
            with pytest.raises(AddressRefused):
                await read()
        await telemetry.close()


async def test_a_name_that_leads_elsewhere_the_second_time_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the name passed; the connection then ended at an address that is refused."""

    async def passes(_: str) -> None:
        return None

    monkeypatch.setattr(live, "check_url", passes)
    monkeypatch.setattr(egress, "is_refused", lambda address: str(address) == "127.0.0.1")
    async with serve(FeedsTwin(small_incident()).app()) as url:
        telemetry = HttpTelemetry(integration(url, "logs"), EVER, no_database)
        with pytest.raises(AddressRefused):
            await telemetry.logs()
        await telemetry.close()


def test_a_status_feed_may_be_one_feed_or_several() -> None:
    event = {"timestamp": 5, "status": "degraded", "detail": "d"}
    one = {"component": "dns", "events": [event]}
    assert read_notices(one, "x") == read_notices([one], "x")
    assert read_notices(one, "x")[0].component == "dns"
    assert read_notices(None, "x") == []


async def test_a_session_that_blocks_others_is_seen_in_a_real_postgres(database: Database) -> None:
    owner = database.url("incidentfox_owner")
    with psycopg.connect(owner, application_name="shop-orders") as holder:
        holder.execute("CREATE TABLE stock (id int, n int)")
        holder.execute("INSERT INTO stock VALUES (1, 1)")
        holder.commit()
        holder.execute("UPDATE stock SET n = 0")  # and the transaction stays open
        waiting = await asyncio.to_thread(psycopg.connect, owner, application_name="shop-web")
        task = asyncio.create_task(asyncio.to_thread(waiting.execute, "UPDATE stock SET n = 2"))
        async with asyncio.timeout(10):
            while not (blocked := [one for one in await read_sessions(owner) if one.blocked_by]):
                await asyncio.sleep(0.02)
        sessions = {one.pid: one for one in await read_sessions(owner)}
        holder.rollback()
        await task
        waiting.close()
    assert blocked[0].application == "shop-web"
    blocker = sessions[blocked[0].blocked_by[0]]
    assert (blocker.application, blocker.state) == ("shop-orders", "idle in transaction")
    assert blocker.query == "UPDATE stock SET n = 0"


async def test_a_database_that_refuses_gives_nothing_of_its_url_away(database: Database) -> None:
    url = database.url("incidentfox_owner")
    wrong = url.replace(url.split(":")[2].split("@")[0], "wrong-password")
    with pytest.raises(Permanent) as raised:
        await read_sessions(wrong)
    assert "wrong-password" not in str(raised.value)
    with pytest.raises(Unavailable):
        await read_sessions("postgresql://app:hunter2@127.0.0.1:9/x")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///shop",
        "postgresql://app:pw@/shop?host=/var/run/postgresql",
        "postgresql://app:pw@%2Fvar%2Frun%2Fpostgresql/shop",
        "postgresql://app:pw@db.example,/var/run/postgresql/shop",
        "postgresql://app:pw@db.example,other.example/shop",
        "postgresql://app@db.example/shop?passfile=/etc/passwd",
        "postgresql://app:pw@db.example/shop?sslmode=require&sslkey=/run/secrets/key",
        "postgresql://app:pw@db.example/shop?sslrootcert=/etc/passwd",
        "postgresql://app:pw@db.example/shop?service=operators",
        "postgresql://app:pw@db.example/shop?options=-csearch_path%3Dx",
        "postgresql://app:pw@db.example/shop?connect_timeout=soon",
        "postgresql://app:pw@db.example:port/shop",
        "postgresql://db.example/shop",
        "postgresql://app:pw@db.example",
        "host=db.example user=app dbname=shop",
    ],
)
async def test_a_database_url_names_no_file_and_no_socket_of_this_host(url: str) -> None:
    with pytest.raises(DatabaseRefused, match="one TCP host"):
        await read_sessions(url)


async def test_a_database_url_leads_to_no_metadata_address() -> None:
    with pytest.raises(AddressRefused):
        await read_sessions("postgresql://app:pw@169.254.169.254:5432/shop")


async def test_a_database_url_without_a_password_finds_none_on_this_host(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = database.url("incidentfox_owner")
    password = url.split(":")[2].split("@")[0]
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{password}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    monkeypatch.setenv("PGPASSWORD", password)
    with pytest.raises(DatabaseRefused):
        await read_sessions(url.replace(f":{password}@", "@"))
    assert await read_sessions(f"{url}?sslmode=prefer&application_name=watcher&connect_timeout=3") == []
