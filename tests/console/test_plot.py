"""The plot: axes that people can read, the onset where it belongs, and nothing from outside as markup."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.console import investigation

from incidentfox.console.plot import HEIGHT, WIDTH, draw
from incidentfox.console.scale import label_of, nice_ticks, scale_for, time_ticks
from incidentfox.contracts.answer import PlottedSeries

finite = st.floats(min_value=-1e12, max_value=1e12)


def series(**changed: object) -> PlottedSeries:
    return investigation.latency().model_copy(update=changed)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("text")]


def test_names_unit_onset_and_time_axis() -> None:
    plot = draw(investigation.latency(), "p")
    assert plot is not None
    words = texts(plot.svg)
    assert "s" in words
    assert "time, UTC" in words
    assert "onset 09:39:42" in words
    assert {"0", "2", "4", "6"} <= set(words)
    assert {"09:34", "09:36", "09:38", "09:40", "09:42"} <= set(words)


def test_describes_itself_in_words() -> None:
    plot = draw(investigation.latency(), "p")
    assert plot is not None
    root = ET.fromstring(plot.svg)
    described = {element.get("id"): element.text or "" for element in root if element.tag in {"title", "desc"}}
    assert root.get("role") == "img"
    assert (root.get("aria-labelledby") or "").split() == list(described)
    assert described["p-title"] == "inventory_reserve_seconds_p99 of inventory"
    assert "The change began at 09:39:42." in described["p-desc"]
    assert "Median before: 37.9\N{NO-BREAK SPACE}ms" in described["p-desc"]


def test_says_how_far_the_level_moved() -> None:
    plot = draw(investigation.latency(), "p")
    assert plot is not None
    assert plot.shift is not None
    assert plot.shift.ratio == "×\N{THIN SPACE}101"
    fell = draw(series(values=tuple(reversed(investigation.latency().values)), onset=None), "p")
    assert fell is not None
    assert fell.shift is None


def test_escapes_names() -> None:
    hostile = '</title><script>alert(1)</script>" onload="alert(2)'
    plot = draw(series(service=hostile, metric=hostile), hostile)
    assert plot is not None
    assert "<script" not in plot.svg
    assert all("onload" not in element.attrib for element in ET.fromstring(plot.svg).iter())


def test_carries_no_style_that_the_content_policy_would_refuse() -> None:
    plot = draw(investigation.latency(), "p")
    assert plot is not None
    assert "style=" not in plot.svg
    assert "<style" not in plot.svg


def test_leaves_out_what_is_no_number() -> None:
    plot = draw(series(times=(0.0, 1.0, 2.0, 3.0), values=(1.0, math.nan, math.inf, 2.0), onset=math.nan), "p")
    assert plot is not None
    [line] = list(ET.fromstring(plot.svg).iter("polyline"))
    assert len((line.get("points") or "").split()) == 2


@pytest.mark.parametrize("times", [(), (5.0,), (5.0, 5.0)])
def test_draws_nothing_where_there_is_no_line(times: tuple[float, ...]) -> None:
    assert draw(series(times=times, values=tuple(1.0 for _ in times)), "p") is None


def test_an_onset_outside_the_window_is_not_drawn() -> None:
    plot = draw(series(onset=0.0), "p")
    assert plot is not None
    assert "plot-onset" not in plot.svg


@given(st.lists(st.tuples(st.floats(0, 4e9), finite), min_size=2, max_size=40), st.floats(0, 4e9) | st.none())
def test_everything_stays_inside_the_frame(points: list[tuple[float, float]], onset: float | None) -> None:
    plot = draw(
        PlottedSeries(
            service="s",
            metric="m",
            times=tuple(at for at, _ in points),
            values=tuple(value for _, value in points),
            onset=onset,
        ),
        "p",
    )
    if plot is None:
        return
    for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", re.findall(r'points="([^"]*)"', plot.svg)[0]):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT


@given(finite, finite)
def test_ticks_enclose_the_values_and_are_few(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = nice_ticks(low, high)
    tolerance = abs(ticks[1] - ticks[0]) * 1e-6
    assert ticks[0] <= low + tolerance
    assert ticks[-1] >= high - tolerance
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(ticks)


def test_ticks_start_at_zero_unless_the_values_are_far_from_it() -> None:
    assert nice_ticks(1.2, 9.8) == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert nice_ticks(990, 1010)[0] >= 980
    assert nice_ticks(0, 0)[0] == 0.0
    assert [label_of(tick, 0.25) for tick in nice_ticks(0.1, 0.9)] == ["0", "0.25", "0.50", "0.75", "1.00"]


@given(st.floats(0, 4e9), st.floats(1, 1e8))
def test_time_ticks_are_few_and_inside(first: float, span: float) -> None:
    ticks = time_ticks(first, first + span)
    assert len(ticks) <= 6
    assert all(first <= at <= first + span for at, _ in ticks)


@pytest.mark.parametrize(
    ("metric", "largest", "value", "words"),
    [
        ("db_pool_wait_seconds_p99", 9.8, 9.8, "9.8 s"),
        ("db_pool_wait_seconds_p99", 0.02, 0.013, "13 ms"),
        ("http_server_duration_p99_ms", 270.9, 173.8, "174 ms"),
        ("http_server_duration_p99_ms", 4200.0, 4200.0, "4.2 s"),
        ("job_duration_seconds", 7200.0, 1800.0, "30 min"),
        ("error_rate_5xx_ratio", 0.31, 0.0038, "0.38 %"),
        ("cpu_usage_percent", 93.0, 93.0, "93 %"),
        ("process_resident_memory_bytes", 3e9, 2.0**30, "1 GiB"),
        ("requests_per_second", 52000.0, 52000.0, "52 thousand per s"),
        ("queue_depth", 12.0, 12.0, "12"),
        ("queue_depth", 2.5e6, 2.5e6, "2.5 million"),
    ],
)
def test_units_follow_from_the_name(metric: str, largest: float, value: float, words: str) -> None:
    assert scale_for(metric, largest).words(value) == words.replace(" ", "\N{NO-BREAK SPACE}", 1)
