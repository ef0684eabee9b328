"""The Drain miner and log novelty, on messages whose templates are known."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from incidentfox.analysis.signals import LogPattern, LogRecord
from incidentfox.analysis.templates import Drain, find_log_patterns, masked


def _record(time: float, message: str, severity: str = "INFO", service: str = "s", **attributes: object) -> LogRecord:
    return LogRecord(time, service, severity, message, None, attributes)


def test_what_varies_is_masked() -> None:
    assert masked("took 35ms for 10.0.0.7:5432") == "took <*>ms for <*>"
    assert masked("id 7f3c9a1e-0000-4000-8000-0123456789ab at 0xdeadbeef") == "id <*> at <*>"
    assert masked("utf8 and v2 stay") == "utf8 and v2 stay"


def test_drain_joins_messages_of_one_statement_and_keeps_others_apart() -> None:
    drain = Drain()
    first = drain.add("logged in user alice from web")
    drain.add("logged in user bob from web")
    other = drain.add("cache warmed for 12 keys")
    assert first.template == "logged in user <*> from web"
    assert first.size == 2
    assert other is not first


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_number_of_templates_is_that_of_the_statements(seed: int) -> None:
    rng = random.Random(seed)
    statements = ["request {} served in {}ms", "connection to {} refused by host", "job {} of queue {} finished well"]
    drain = Drain()
    for _ in range(60):
        drain.add(rng.choice(statements).format(rng.randrange(10**6), rng.randrange(10**6)))
    assert len({id(group) for leaf in drain._leaves.values() for group in leaf}) <= 3


def test_a_new_error_leads_and_steady_chatter_is_left_out() -> None:
    records = [_record(t, f"served page in {t}ms") for t in range(0, 200, 2)]
    records += [_record(t, f"disk {t} failed with code 5", "ERROR") for t in range(100, 130, 3)]
    found = find_log_patterns(records, (), onset=100)
    assert [f.template for f in found] == ["disk <*> failed with code <*>"]
    assert (found[0].before, found[0].after, found[0].first_seen) == (0, 10, 100)
    assert found[0].distinct == 10


def test_a_surge_is_found_and_an_error_outranks_an_info_line() -> None:
    records = [_record(t, "retrying call to peer", "WARN") for t in (10, 60)]
    records += [_record(100 + t, "retrying call to peer", "WARN") for t in range(80)]
    records += [_record(100 + t, "new feature used today") for t in range(80)]
    found = find_log_patterns(records, (), onset=100)
    assert [f.service for f in found] == ["s", "s"]
    assert found[0].template == "retrying call to peer"
    assert (found[0].before, found[0].after) == (2, 80)


def test_the_example_carries_the_attributes() -> None:
    (found,) = find_log_patterns([_record(5, "panic: boom", "ERROR", stack="a/b.go:7 f")] * 4, (), onset=1)
    assert found.example == "panic: boom stack=a/b.go:7 f"
    assert found.distinct == 1


def test_counts_of_the_backend_win_and_times_stay_those_of_the_records() -> None:
    records = [_record(50 + t, f"pool exhausted after {t}ms", "ERROR") for t in range(5)]
    patterns = [
        LogPattern("pool exhausted after <N>ms", "s", 540, 538, "negative"),
        LogPattern("nobody sampled this failure", "t", 30, 30, "negative"),
        LogPattern("handled request", "s", 54_000, 300, "neutral"),
    ]
    found = {f.template: f for f in find_log_patterns(records, patterns, onset=40)}
    pool = found["pool exhausted after <*>ms"]
    assert (pool.before, pool.after, pool.first_seen) == (2, 540, 50)
    assert found["nobody sampled this failure"].severity == "ERROR"
    assert found["nobody sampled this failure"].first_seen is None
    assert "handled request" not in found


def test_nothing_in_nothing_out() -> None:
    assert find_log_patterns((), (), onset=0) == ()
