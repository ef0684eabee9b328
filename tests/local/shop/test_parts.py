"""The shop's parts that need no process: releases, alert rule, webhook, metrics history, feeds, load."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from incidentfox.agent.telemetry.openmetrics import read_series
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.local.shop.alerting import Alert, Rule, RuleState, sign, webhook_body
from incidentfox.local.shop.changes import ChangeLog, read_changes
from incidentfox.local.shop.database import SHOP_ROLES, prepare_shop_database
from incidentfox.local.shop.history import KEPT_S, History, parse_exposition
from incidentfox.local.shop.load import ARTICLES, purchase
from incidentfox.local.shop.releases import BASELINE, RELEASES, find_release
from incidentfox.local.shop.scenario import GUILTY
from incidentfox.local.shop.telemetry import Telemetry, logs_file, parse_traceparent, read_feed, record_time


@pytest.mark.parametrize("release", [r for r in RELEASES if r.parent], ids=lambda r: r.name)
def test_a_diff_leads_from_the_parent_to_the_release(release: object, tmp_path: Path) -> None:
    found = find_release(release.name)  # type: ignore[attr-defined]
    target = tmp_path / found.path
    target.parent.mkdir(parents=True)
    target.write_text(find_release(f"{found.service}-{found.parent}").source)
    done = subprocess.run(["patch", "-p1"], input=found.diff, text=True, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.read_text() == found.source


def test_releases_are_distinct_and_run() -> None:
    assert len({release.sha for release in RELEASES}) == len(RELEASES)
    assert all(release.load().__doc__ for release in RELEASES)
    assert {find_release(name).service for name in BASELINE} == {"web", "orders", "inventory"}
    assert find_release(GUILTY).parent == "2.14.0"
    with pytest.raises(LookupError, match=r"web-9\.9"):
        find_release("web-9.9")


def test_the_feed_has_what_came_since(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "changes.json")
    release = find_release(GUILTY)
    log.deployed(release, at=2_000_000_000.0)
    everything = read_changes(tmp_path / "changes.json", 0.0)
    assert [commit["sha"] for commit in everything["commits"]] == [release.sha for release in RELEASES]
    assert everything["deploys"][0]["commit_sha"] == release.sha
    latest = read_changes(tmp_path / "changes.json", 1_999_999_999.0)
    assert (latest["commits"], len(latest["deploys"]), latest["flags"]) == ([], 1, [])


def fired(observed: list[tuple[float, float | None]]) -> list[tuple[float, bool]]:
    """(moment, whether it is resolved) of each announcement."""
    state = RuleState(Rule("web", threshold_ms=1000.0, for_s=2.0))
    found = [(moment, state.judge(moment, value)) for moment, value in observed]
    return [(moment, alert.resolved_at is not None) for moment, alert in found if alert is not None]


def test_an_alert_fires_once_after_its_time_and_resolves_after_the_same() -> None:
    bad, good = 2000.0, 10.0
    assert fired([(0, good), (1, bad), (2, bad), (3, bad), (4, bad), (5, good), (6, good), (7, good), (8, good)]) == [
        (3, False),
        (7, True),
    ]


def test_a_blip_does_not_alert_and_silence_is_no_opinion() -> None:
    assert fired([(0, 2000.0), (1, 10.0), (2, 2000.0), (3, 10.0)]) == []
    assert fired([(0, 2000.0), (1, None), (2, 2000.0)]) == [(2, False)]
    assert fired([(0, None), (9, None)]) == []


def test_the_webhook_has_pagerdutys_form(payloads: Path) -> None:
    alert = Alert("Q1", "web", "p99", 1000.0, 2000.0, "2026-11-24T08:00:00Z", "latency", "web is slow")
    event = json.loads(webhook_body(alert, "PSHOP01", 7))["event"]
    recorded = json.loads((payloads / "pagerduty" / "triggered_v3.json").read_text())["event"]
    assert recorded.keys() <= event.keys()
    assert recorded["data"].keys() <= event["data"].keys()
    assert recorded["data"]["service"].keys() == event["data"]["service"].keys()
    assert len(event["id"]) == len(recorded["id"])


def test_the_signature_agrees_with_the_published_vector(payloads: Path) -> None:
    vectors = json.loads((payloads / "vectors.json").read_text())
    vector = next(one for one in vectors if one["source"] == "pagerduty")
    assert sign(vector["body"].encode(), vector["secret"]) == vector["headers"]["X-PagerDuty-Signature"]


def exposition(count_fast: int, count_slow: int) -> str:
    total = count_fast + count_slow
    return (
        "# TYPE http_server_request_duration_seconds histogram\n"
        f'http_server_request_duration_seconds_bucket{{http_response_status_code="200",le="0.1"}} {count_fast}\n'
        f'http_server_request_duration_seconds_bucket{{http_response_status_code="200",le="2.5"}} {total}\n'
        f'http_server_request_duration_seconds_bucket{{http_response_status_code="200",le="+Inf"}} {total}\n'
        f'http_server_request_duration_seconds_count{{http_response_status_code="200"}} {total}\n'
        f'http_server_request_duration_seconds_sum{{http_response_status_code="200"}} {total}\n'
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 17\n"
        '# TYPE pool gauge\npool{name="a\\"b"} 3.5\n'
    )


def history(*counts: tuple[int, int]) -> History:
    kept = History()
    for second, (fast, slow) in enumerate(counts):
        kept.add(1000.0 + second, parse_exposition(exposition(fast, slow), "web"))
    return kept


def test_the_percentile_is_over_the_window_only() -> None:
    name = "http_server_request_duration_seconds"
    assert history((0, 0), (100, 0)).p99("web", name, 5.0) == pytest.approx(0.099)
    assert history((0, 0), (0, 100), (100, 100)).p99("web", name, 1.0) == pytest.approx(0.099)
    assert history((0, 0), (50, 50)).p99("web", name, 5.0) == pytest.approx(0.1 + 2.4 * 49 / 50)
    assert history((7, 0), (7, 0)).p99("web", name, 5.0) is None
    assert history((0, 0)).p99("orders", name, 5.0) is None


def test_a_counter_that_starts_again_is_a_restart_not_a_fall() -> None:
    assert history((500, 0), (100, 0)).p99("web", "http_server_request_duration_seconds", 5.0) == pytest.approx(0.099)


def test_the_exposition_has_one_point_a_series_and_scrape() -> None:
    text = history((0, 0), (100, 0), (200, 0)).exposition(since=1001.0)
    series = {(one.service, one.metric): one for one in read_series(text, "test")}
    assert series["web", 'pool{name="a"b"}'].times == (1001.0, 1002.0)
    assert series["web", "request_rate"].values == (100.0,)
    assert ("web", "process_start_time_seconds") not in series
    assert text.endswith("# EOF\n")


def test_what_is_too_old_is_forgotten() -> None:
    kept = history((0, 0))
    kept.add(1000.0 + KEPT_S + 1, parse_exposition(exposition(1, 0), "web"))
    assert "1000.000" not in kept.exposition(0.0)


def test_a_feed_is_read_on_by_offset_and_from_a_moment(tmp_path: Path) -> None:
    telemetry = Telemetry("web", "1", tmp_path)
    telemetry.log("INFO", "one")
    first, offset = read_feed(logs_file(tmp_path, "web"), 0.0, 0)
    telemetry.log("ERROR", "two", sku="mug")
    second, end = read_feed(logs_file(tmp_path, "web"), 0.0, offset)
    assert [json.loads(one)["msg"] for one in (first, second)] == ["one", "two"]
    assert read_feed(logs_file(tmp_path, "web"), 0.0, end) == (b"", end)
    since = record_time(json.loads(second))
    assert read_feed(logs_file(tmp_path, "web"), since, None)[0] == second


def test_spans_nest_and_failures_are_marked(tmp_path: Path) -> None:
    telemetry = Telemetry("web", "1", tmp_path)
    remote = f"00-{'a' * 32}-{'b' * 16}-01"
    with (
        contextlib.suppress(ValueError),
        telemetry.span("GET /", "SERVER", remote) as outer,
        telemetry.span("call", "CLIENT") as inner,
    ):
        assert inner.traceparent.startswith(f"00-{'a' * 32}-")
        raise ValueError
    spans = [json.loads(line) for line in (tmp_path / "web.spans.ndjson").read_text().splitlines()]
    assert [(span["name"], span["parent_id"], span["status"]) for span in spans] == [
        ("call", outer.span_id, "ERROR"),
        ("GET /", "b" * 16, "ERROR"),
    ]


@pytest.mark.parametrize("header", [None, "", "00-short-short-01", "nonsense"])
def test_a_malformed_traceparent_begins_a_new_trace(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_every_article_is_bought_in_bulk_soon() -> None:
    bulk = Counter(article for article, pieces in map(purchase, range(32)) if pieces >= 20)
    assert bulk == dict.fromkeys(ARTICLES, 1)


def test_the_database_is_prepared_twice_and_roles_may_only_what_they_need(cluster: EmbeddedPostgres) -> None:
    passwords = {role: f"pw-{role}" for role in SHOP_ROLES}
    prepare_shop_database(cluster.superuser_url(), passwords)
    database = prepare_shop_database(cluster.superuser_url(), passwords)
    with (
        psycopg.connect(database.service_url("web")) as web,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        web.execute("UPDATE stock SET available = 0")
    with psycopg.connect(database.monitor_url) as monitor:
        hidden = "SELECT count(*) FROM pg_stat_activity WHERE query = '<insufficient privilege>'"
        assert monitor.execute(hidden).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monitor.execute("SELECT * FROM orders")
