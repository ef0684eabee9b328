"""What the monitor remembers of the metrics it scraped, and how it tells: OpenMetrics text with timestamps.

One point per series and scrape (the form that Prometheus' backfill reads, OpenMetrics 1.0 "Timestamps"): a family's
points stand together, each series' points in the order of time. Counters are raw, and start again at a deploy.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

KEPT_S = 900.0
_UNINTERESTING = frozenset({"process_start_time_seconds", "process_virtual_memory_bytes", "process_max_fds"})
_QUANTILE = 0.99

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition: `name{labels} value`."""

    name: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one moment (Unix seconds), by family."""

    time: float
    families: dict[tuple[str, str], list[Sample]]
    """(name, type) → samples."""


def parse_exposition(text: str, service: str) -> dict[tuple[str, str], list[Sample]]:
    """Prometheus text of one service; every sample gets the label `service`."""
    return {
        (family.name, family.type): [_labelled(sample, service) for sample in family.samples]
        for family in text_string_to_metric_families(text)
        if family.name not in _UNINTERESTING
    }


def from_metrics(metrics: Iterable[Metric]) -> dict[tuple[str, str], list[Sample]]:
    """Metrics that the monitor measured itself."""
    return {
        (metric.name, metric.type): [
            Sample(sample.name, tuple(sorted(sample.labels.items())), sample.value) for sample in metric.samples
        ]
        for metric in metrics
    }


class History:
    """The scrapes of the last quarter of an hour."""

    def __init__(self) -> None:
        self._scrapes: deque[Scrape] = deque()

    def add(self, time: float, *parts: dict[tuple[str, str], list[Sample]]) -> None:
        """Keeps one scrape of all services."""
        families: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        for name, samples in itertools.chain.from_iterable(part.items() for part in parts):
            families[name].extend(samples)
        self._scrapes.append(Scrape(time, dict(families)))
        while self._scrapes[0].time < time - KEPT_S:
            self._scrapes.popleft()

    def exposition(self, since: float) -> str:
        """Everything from `since` on, as OpenMetrics text."""
        return "".join(self._lines(since))

    def p99(self, service: str, histogram: str, window_s: float) -> float | None:
        """The 99th percentile over the last `window_s`, in the histogram's unit; None without requests.

        As Prometheus' `histogram_quantile(0.99, increase(…))`: linear within the bucket.
        """
        if not self._scrapes:
            return None
        newest = self._scrapes[-1].time
        grown: dict[float, float] = defaultdict(float)
        window = [scrape for scrape in self._scrapes if scrape.time >= newest - window_s]
        for earlier, later in itertools.pairwise(window):
            before, after = _buckets(earlier, service, histogram), _buckets(later, service, histogram)
            for labels, value in after.items():
                previous = before.get(labels, 0.0)
                grown[float(dict(labels)["le"])] += value if value < previous else value - previous
        return _quantile(sorted(grown.items()))

    def _lines(self, since: float) -> Iterator[str]:
        by_family: dict[tuple[str, str], dict[Labels, list[tuple[float, Sample]]]] = defaultdict(dict)
        for scrape in self._scrapes:
            if scrape.time < since:
                continue
            for family, samples in scrape.families.items():
                for sample in samples:
                    series = tuple(label for label in sample.labels if label[0] != "le")
                    by_family[family].setdefault(series, []).append((scrape.time, sample))
        for (name, kind), metrics in sorted(by_family.items()):
            yield f"# TYPE {name} {kind}\n"
            for points in metrics.values():
                for time, sample in points:
                    yield f"{sample.name}{_braces(sample.labels)} {_number(sample.value)} {time:.3f}\n"
        yield "# EOF\n"


def _labelled(sample: object, service: str) -> Sample:
    name, labels, value = sample[:3]  # type: ignore[index]  # prometheus_client's own named tuple
    return Sample(name, tuple(sorted({**labels, "service": service}.items())), float(value))


def _buckets(scrape: Scrape, service: str, histogram: str) -> dict[Labels, float]:
    return {
        sample.labels: sample.value
        for sample in scrape.families.get((histogram, "histogram"), ())
        if sample.name.endswith("_bucket") and ("service", service) in sample.labels
    }


def _quantile(buckets: list[tuple[float, float]]) -> float | None:
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = _QUANTILE * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return None


def _braces(labels: Labels) -> str:
    escaped = ((key, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")) for key, value in labels)
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}" if labels else ""


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
