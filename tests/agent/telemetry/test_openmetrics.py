"""Exposition text becomes the series that people alert on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.agent.telemetry.openmetrics import read_series, thin
from incidentfox.agent.telemetry.records import Unreadable
from incidentfox.analysis.signals import Series


def series(text: str) -> dict[tuple[str, str], Series]:
    return {(one.service, one.metric): one for one in read_series(text, "the feed")}


HISTOGRAM = """# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{service="web",code="200",le="0.1"} 0 100
http_server_request_duration_seconds_bucket{service="web",code="200",le="0.5"} 0 100
http_server_request_duration_seconds_bucket{service="web",code="200",le="+Inf"} 0 100
http_server_request_duration_seconds_count{service="web",code="200"} 0 100
http_server_request_duration_seconds_sum{service="web",code="200"} 0 100
http_server_request_duration_seconds_bucket{service="web",code="200",le="0.1"} 50 110
http_server_request_duration_seconds_bucket{service="web",code="200",le="0.5"} 90 110
http_server_request_duration_seconds_bucket{service="web",code="200",le="+Inf"} 90 110
http_server_request_duration_seconds_count{service="web",code="200"} 90 110
http_server_request_duration_seconds_sum{service="web",code="200"} 9 110
http_server_request_duration_seconds_bucket{service="web",code="500",le="0.1"} 0 110
http_server_request_duration_seconds_bucket{service="web",code="500",le="0.5"} 10 110
http_server_request_duration_seconds_bucket{service="web",code="500",le="+Inf"} 10 110
http_server_request_duration_seconds_count{service="web",code="500"} 10 110
"""


def test_a_histogram_gives_percentile_rate_and_error_ratio() -> None:
    found = series(HISTOGRAM)
    assert set(found) == {
        ("web", "http_server_duration_p99_ms"),
        ("web", "request_rate"),
        ("web", "http_5xx_ratio"),
    }
    # 100 calls: 50 up to 0.1 s, 100 up to 0.5 s; the 99th lies 98 % into the second bucket.
    assert found["web", "http_server_duration_p99_ms"].values == pytest.approx((492.0,))
    assert found["web", "request_rate"].values == (10.0,)
    assert found["web", "http_5xx_ratio"].values == (0.1,)
    assert found["web", "http_5xx_ratio"].times == (110.0,)


def test_beyond_the_last_bucket_the_last_bound_is_all_that_is_known() -> None:
    text = "# TYPE d_seconds histogram\n" + "".join(
        f'd_seconds_bucket{{le="{le}"}} {count} {time}\n'
        for time, counts in ((1, (0, 0)), (2, (0, 5)))
        for le, count in zip(("0.2", "+Inf"), counts, strict=True)
    )
    assert series(text)["", "d_duration_p99_ms"].values == (200.0,)


def test_an_empty_interval_has_no_percentile() -> None:
    text = '# TYPE d_seconds histogram\nd_seconds_bucket{le="+Inf"} 3 1\nd_seconds_bucket{le="+Inf"} 3 2\n'
    assert ("", "d_duration_p99_ms") not in series(text)


def test_a_counter_gives_its_rate_summed_over_labels_and_survives_a_restart() -> None:
    text = """# TYPE jobs counter
jobs_total{job="worker",queue="a"} 10 0
jobs_total{job="worker",queue="b"} 100 0
jobs_total{job="worker",queue="a"} 20 10
jobs_total{job="worker",queue="b"} 110 10
jobs_total{job="worker",queue="a"} 5 20
jobs_total{job="worker",queue="b"} 110 20
"""
    assert series(text)["worker", "jobs_rate"].values == (2.0, 0.5)


def test_a_label_set_that_appears_later_counts_from_zero() -> None:
    text = """http_requests_total{service="web",code="200"} 100 0
http_requests_total{service="web",code="200"} 130 10
http_requests_total{service="web",code="500"} 10 10
"""
    assert series(text)["web", "http_5xx_ratio"].values == (0.25,)


def test_gauges_stay_and_carry_their_labels_in_the_name() -> None:
    text = """# TYPE pool_in_use gauge
pool_in_use{service="orders",pool="main"} 3 1700000000000
pool_in_use{service="orders",pool="main"} NaN 1700000010000
pool_in_use{service="orders",pool="main"} 5 1700000020000
up{service="orders"} 1 1700000000
"""
    found = series(text)
    assert found["orders", 'pool_in_use{pool="main"}'].times == (1700000000.0, 1700000020.0)
    assert found["orders", "up"].values == (1.0,)


def test_labels_may_hold_anything() -> None:
    text = 'up{service="a\\"b\\\\c",note="x} 1 2"} 1 5\n'
    assert [(one.service, one.values) for one in read_series(text, "x")] == [('a"b\\c', (1.0,))]


@pytest.mark.parametrize("text", ["up 1\n", "<html>\n", "up one 2\n"])
def test_what_is_no_sample_with_a_timestamp_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(Unreadable, match="Line 1"):
        read_series(text, "the feed")


@given(st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=400), st.integers(3, 120))
def test_thinning_keeps_ends_order_and_bound(values: list[float], most: int) -> None:
    times = tuple(float(n) for n in range(len(values)))
    kept_times, kept_values = thin(times, values, most)
    assert len(kept_times) == len(kept_values) <= max(most, 0) or len(values) <= most
    assert list(kept_times) == sorted(kept_times)
    assert all(values[int(t)] == v for t, v in zip(kept_times, kept_values, strict=True))
    if values:
        assert (kept_times[0], kept_times[-1]) == (times[0], times[-1])


def test_thinning_keeps_a_short_spike() -> None:
    values = [1.0] * 1000
    values[537] = 50.0
    assert 50.0 in thin(range(1000), values, 60)[1]
