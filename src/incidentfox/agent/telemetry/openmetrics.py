"""Turns exposition text with timestamps into the series that people alert on.

Input: OpenMetrics 1.0 or Prometheus text 0.0.4, several samples of one series over time, each with its timestamp
(seconds; milliseconds are recognised by their size). Output, per service (label `service`, else `service_name` or
`job`):

* a gauge stays as it is; further labels become part of the name, as `pool_in_use{pool="main"}`;
* a counter becomes its rate per second, summed over all other labels, and where it has a status label also a
  `…_5xx_ratio`;
* a histogram becomes the 99th percentile of each interval between two scrapes (linear within a bucket, as Prometheus'
  `histogram_quantile`), its rate, and the ratio of 5xx.

`http_server_request_duration_seconds` thus gives `http_server_duration_p99_ms`, `request_rate`, `http_5xx_ratio`.
"""

from __future__ import annotations

import itertools
import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from incidentfox.agent.telemetry.records import Unreadable
from incidentfox.analysis.signals import Series

_SAMPLE = re.compile(
    r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"(?:\{(?P<labels>(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*)\})?"
    r"\s+(?P<value>\S+)(?:\s+(?P<time>-?[0-9.eE+]+))?(?:\s+#.*)?$"
)
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*\"((?:\\.|[^\"\\])*)\"")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_SERVICE_LABELS = ("service", "service_name", "job")
_STATUS_LABELS = ("code", "status", "status_code", "http_status_code", "http_response_status_code")
_UNITS = re.compile(r"_(seconds|bytes|ratio)$")
_DURATION = re.compile(r"(_request)?_duration$")
_MILLISECONDS_FROM = 1e11  # the year 5138 in seconds, 1973 in milliseconds
_QUANTILE = 0.99

Labels = tuple[tuple[str, str], ...]
Points = dict[float, float]


@dataclass(slots=True)
class _Family:
    """All samples of one name and service: by the remaining labels, by time."""

    samples: dict[Labels, Points] = field(default_factory=lambda: defaultdict(dict))


def read_series(text: str, source: str) -> list[Series]:
    """The series of the text, by service and metric. Raises Unreadable for a sample without a timestamp."""
    families, types = _collect(text, source)
    series: dict[tuple[str, str], Points] = {}
    for (service, name), family in families.items():
        base, part = _part(name, types)
        if part in ("sum", "created"):
            continue
        if part == "bucket":
            found = _percentiles(base, family)
        elif part in ("count", "total"):
            found = _rates(base, part, family)
        else:
            found = _gauges(name, family)
        for metric, points in found:
            series.setdefault((service, metric), {}).update(points)
    return [_series(service, metric, points) for (service, metric), points in sorted(series.items()) if points]


def _collect(text: str, source: str) -> tuple[dict[tuple[str, str], _Family], dict[str, str]]:
    families: dict[tuple[str, str], _Family] = defaultdict(_Family)
    types: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            words = line.split()
            if len(words) >= 4 and words[1] == "TYPE":
                types[words[2]] = words[3]
            continue
        if not line.strip():
            continue
        match = _SAMPLE.match(line)
        if match is None or match["time"] is None:
            raise Unreadable(f"Line {number} of {source} is not a sample with a timestamp.")
        try:
            value, time = float(match["value"]), float(match["time"])
        except ValueError as error:
            raise Unreadable(f"Line {number} of {source} is not a sample with a timestamp.") from error
        labels = {key: _unescape(raw) for key, raw in _LABEL.findall(match["labels"] or "")}
        service = next((labels.pop(key) for key in _SERVICE_LABELS if key in labels), "")
        time = time / 1000 if abs(time) > _MILLISECONDS_FROM else time
        families[service, match["name"]].samples[tuple(sorted(labels.items()))][time] = value
    return families, types


def _part(name: str, types: Mapping[str, str]) -> tuple[str, str]:
    """(family name, what this sample is of it): bucket, count, sum, total, created, or gauge."""
    for suffix in ("bucket", "count", "sum", "total", "created"):
        base = name.removesuffix(f"_{suffix}")
        if base == name:
            continue
        kind = types.get(base) or types.get(name) or ""
        if kind in ("histogram", "summary") and suffix in ("bucket", "count", "sum", "created"):
            return base, suffix
        if suffix in ("total", "created") and kind in ("counter", ""):
            return base, suffix
    return name, "total" if types.get(name) == "counter" else "gauge"


def _gauges(name: str, family: _Family) -> Iterator[tuple[str, Points]]:
    for labels, points in family.samples.items():
        words = ",".join(f'{key}="{value}"' for key, value in labels)
        yield (f"{name}{{{words}}}" if words else name), {t: v for t, v in points.items() if math.isfinite(v)}


def _rates(base: str, part: str, family: _Family) -> Iterator[tuple[str, Points]]:
    stem = _stem(base) if part == "count" else base
    total: Points = defaultdict(float)
    failed: Points = defaultdict(float)
    has_status = False
    for labels, time, increase, _ in _increases(family):
        status = next((value for key, value in labels if key in _STATUS_LABELS), None)
        has_status |= status is not None
        total[time] += increase
        if status is not None and status.startswith("5"):
            failed[time] += increase
    seconds = _intervals(family)
    yield _rate_name(stem), {t: value / seconds[t] for t, value in total.items()}
    if has_status:
        yield _ratio_name(stem), {t: failed.get(t, 0.0) / value for t, value in total.items() if value > 0}


def _percentiles(base: str, family: _Family) -> Iterator[tuple[str, Points]]:
    buckets: dict[float, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for labels, time, increase, _ in _increases(family):
        bound = next((value for key, value in labels if key == "le"), None)
        if bound is not None:
            buckets[time][float(bound)] += increase
    in_seconds = base.endswith("_seconds")
    name = f"{_stem(base)}_duration_p99_ms" if in_seconds else f"{base}_p99"
    points = {t: _quantile(sorted(found.items())) for t, found in buckets.items()}
    yield name, {t: v * (1000 if in_seconds else 1) for t, v in points.items() if v is not None}


def _quantile(buckets: list[tuple[float, float]]) -> float | None:
    """The quantile of cumulative (upper bound, count) pairs; None for an empty interval."""
    total = buckets[-1][1]
    if total <= 0:
        return None
    rank = _QUANTILE * total
    position = bisect_left([count for _, count in buckets], rank)
    bound, count = buckets[min(position, len(buckets) - 1)]
    below_bound, below = buckets[position - 1] if position else (0.0, 0.0)
    if not math.isfinite(bound):
        return below_bound  # beyond the last finite bucket: all that is known is that it is more
    return below_bound + (bound - below_bound) * (rank - below) / max(count - below, 1e-12)


def _increases(family: _Family) -> Iterator[tuple[Labels, float, float, float]]:
    """(labels, time, increase since the scrape before, seconds). A restart counts from zero, and so does a label
    set that first appears between two scrapes: its first error would otherwise be lost.
    """
    scrapes = _scrapes(family)
    for labels, points in family.samples.items():
        before: float | None = None
        for last, now in itertools.pairwise(scrapes):
            before = points.get(last, before)
            if now not in points:
                continue
            value = points[now]
            increase = value if before is None or value < before else value - before
            yield labels, now, increase, now - last


def _scrapes(family: _Family) -> list[float]:
    return sorted({time for points in family.samples.values() for time in points})


def _intervals(family: _Family) -> Points:
    scrapes = _scrapes(family)
    return {now: max(now - last, 1e-9) for last, now in itertools.pairwise(scrapes)}


def _stem(base: str) -> str:
    return _DURATION.sub("", _UNITS.sub("", base))


def _rate_name(stem: str) -> str:
    return "request_rate" if stem == "http_server" else f"{stem}_rate"


def _ratio_name(stem: str) -> str:
    return "http_5xx_ratio" if stem in ("http_server", "http_requests") else f"{stem}_5xx_ratio"


def _series(service: str, metric: str, points: Points) -> Series:
    ordered = sorted(points.items())
    return Series(service, metric, tuple(t for t, _ in ordered), tuple(v for _, v in ordered))


def _unescape(raw: str) -> str:
    return re.sub(r"\\[\\\"n]", lambda match: _ESCAPES[match.group()], raw)


def thin(times: Iterable[float], values: Iterable[float], most: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `most` points that keep the shape: from each of `most` equal slices the point furthest from the mean
    of its neighbours' ends, so that a short spike survives. Ends are kept.
    """
    t, v = tuple(times), tuple(values)
    if len(t) <= most:
        return t, v
    keep = {0, len(t) - 1}
    slices = most - 2
    for index in range(slices):
        left = 1 + index * (len(t) - 2) // slices
        right = 1 + (index + 1) * (len(t) - 2) // slices
        level = (v[left - 1] + v[min(right, len(v) - 1)]) / 2
        keep.add(max(range(left, right), key=lambda i: abs(v[i] - level)))
    chosen = sorted(keep)
    return tuple(t[i] for i in chosen), tuple(v[i] for i in chosen)
