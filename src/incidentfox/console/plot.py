"""A metric as an SVG plot, drawn on the server: axes with units, the onset marked, words for those who cannot see it.

Pure. Colours come from the page's style sheet by class name, so one drawing serves light and dark. Every text from
outside (service, metric) is escaped here; the result is markup that templates insert as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from markupsafe import Markup, escape

from incidentfox.console.scale import Scale, label_of, nice_ticks, scale_for, time_ticks
from incidentfox.contracts.answer import PlottedSeries

WIDTH, HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 24, 34
_LABEL_ROOM = 100  # px that "onset 13:50:02" needs beside its line

Point = tuple[float, float]


@dataclass(frozen=True)
class Shift:
    """How a series differs after its onset, in words: medians with their unit, and their ratio ("×12", "÷3")."""

    before: str
    after: str
    ratio: str | None


@dataclass(frozen=True)
class Plot:
    """One drawn series. `shift` is None where there is no onset or nothing on one side of it."""

    service: str
    metric: str
    svg: Markup
    shift: Shift | None


def draw(series: PlottedSeries, anchor: str) -> Plot | None:
    """The plot of a series; None when fewer than two of its points are finite. `anchor` makes its ids unique."""
    points = [
        (at, value)
        for at, value in zip(series.times, series.values, strict=False)
        if math.isfinite(at) and math.isfinite(value)
    ]
    points.sort()
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return None
    scale = scale_for(series.metric, max(abs(value) for _, value in points))
    onset = series.onset if series.onset is not None and math.isfinite(series.onset) else None
    shift = _shift(points, onset, series.metric)
    svg = _Drawing(points, onset, scale).svg(anchor, _title(series), _description(series, points, scale, onset, shift))
    return Plot(series.service, series.metric, svg, shift)


class _Drawing:
    """Places one series in the frame and writes it."""

    def __init__(self, points: Sequence[Point], onset: float | None, scale: Scale) -> None:
        self.points = points
        self.scale = scale
        self.first, self.last = points[0][0], points[-1][0]
        self.onset = onset if onset is not None and self.first <= onset <= self.last else None
        values = [scale.apply(value) for _, value in points]
        self.ticks = nice_ticks(min(values), max(values))
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def svg(self, anchor: str, title: str, description: str) -> Markup:
        """The element. `role="img"` with a title and a description: read out as one picture."""
        parts = (
            self._frame(),
            self._after(),
            self._line(),
            self._onset(),
            self._unit(),
        )
        return Markup(  # every value below is a number of ours or escaped
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-labelledby="{escape(anchor)}-title {escape(anchor)}-desc">'
            f'<title id="{escape(anchor)}-title">{escape(title)}</title>'
            f'<desc id="{escape(anchor)}-desc">{escape(description)}</desc>'
            f"{''.join(parts)}</svg>"
        )

    def _x(self, at: float) -> float:
        return _LEFT + (at - self.first) / (self.last - self.first) * (WIDTH - _LEFT - _RIGHT)

    def _y(self, scaled: float) -> float:
        share = (scaled - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def _frame(self) -> str:
        floor = HEIGHT - _BOTTOM
        step = self.ticks[1] - self.ticks[0]
        written = []
        for tick in self.ticks:
            y = self._y(tick)
            written.append(
                f'<line class="plot-grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="plot-tick" x="{_LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">'
                f"{escape(label_of(tick, step))}</text>"
            )
        for at, label in time_ticks(self.first, self.last):
            x = self._x(at)
            written.append(
                f'<line class="plot-axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>'
                f'<text class="plot-tick" x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{escape(label)}</text>'
            )
        written.append(f'<line class="plot-axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>')
        return "".join(written)

    def _after(self) -> str:
        if self.onset is None:
            return ""
        x = self._x(self.onset)
        width, height = WIDTH - _RIGHT - x, HEIGHT - _TOP - _BOTTOM
        return f'<rect class="plot-after" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{height}"/>'

    def _line(self) -> str:
        path = " ".join(f"{self._x(at):.1f},{self._y(self.scale.apply(value)):.1f}" for at, value in self.points)
        return f'<polyline class="plot-line" fill="none" stroke="currentColor" points="{path}"/>'

    def _onset(self) -> str:
        if self.onset is None:
            return ""
        x = self._x(self.onset)
        fits = x + _LABEL_ROOM <= WIDTH
        anchor, offset = ("start", 6) if fits else ("end", -6)
        when = datetime.fromtimestamp(self.onset, UTC)
        return (
            f'<line class="plot-onset" stroke="currentColor" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{_TOP - 12}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text class="plot-onset-label" x="{x + offset:.1f}" y="{_TOP - 6}" text-anchor="{anchor}">'
            f"onset {when:%H:%M:%S}</text>"
        )

    def _unit(self) -> str:
        # The unit names the y axis; it gives way where the onset's label would stand on it.
        crowded = self.onset is not None and self._x(self.onset) < _LEFT + 90
        unit = "" if crowded else f'<text class="plot-unit" x="4" y="{_TOP - 10}">{escape(self.scale.unit)}</text>'
        time = f'<text class="plot-unit" x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end">time, UTC</text>'
        return unit + time


def _shift(points: Sequence[Point], onset: float | None, metric: str) -> Shift | None:
    if onset is None:
        return None
    before = [value for at, value in points if at < onset]
    after = [value for at, value in points if at >= onset]
    if not before or not after:
        return None
    old, new = median(before), median(after)
    return Shift(_words(metric, old, new), _words(metric, new, old), _ratio(old, new))


def _words(metric: str, value: float, other: float) -> str:
    """Each value in the unit that suits it; nothing has no size of its own and takes the other's."""
    return scale_for(metric, abs(value) or abs(other)).words(value)


def _ratio(old: float, new: float) -> str | None:
    if old <= 0 or new <= 0:
        return None
    sign, ratio = ("×", new / old) if new >= old else ("÷", old / new)
    if ratio < 1.05:
        return None
    return f"{sign}\N{THIN SPACE}{ratio:.1f}" if ratio < 10 else f"{sign}\N{THIN SPACE}{ratio:,.0f}"


def _title(series: PlottedSeries) -> str:
    return f"{series.metric} of {series.service}"


def _description(
    series: PlottedSeries, points: Sequence[Point], scale: Scale, onset: float | None, shift: Shift | None
) -> str:
    start, end = (datetime.fromtimestamp(at, UTC) for at in (points[0][0], points[-1][0]))
    values = [value for _, value in points]
    words = (
        f"Line plot of {series.metric} of {series.service} from {start:%H:%M:%S} to {end:%H:%M:%S} UTC, "
        f"between {scale.words(min(values))} and {scale.words(max(values))}."
    )
    if onset is not None:
        words += f" The change began at {datetime.fromtimestamp(onset, UTC):%H:%M:%S}."
    if shift is not None:
        words += f" Median before: {shift.before}; after: {shift.after}."
    return words
