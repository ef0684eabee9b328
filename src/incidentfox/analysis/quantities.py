"""Numbers with units in code and configuration, compared across the two sides of a diff.

Used by the diff effects: `15 * time.Minute` against `15 * time.Second` is a factor of 60 although the digits
agree. Durations are in seconds and sizes in bytes, so that a change of unit shows as a change of value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TIME = {
    "nanosecond": 1e-9, "ns": 1e-9, "microsecond": 1e-6, "us": 1e-6, "µs": 1e-6,
    "millisecond": 1e-3, "milli": 1e-3, "ms": 1e-3, "second": 1.0, "sec": 1.0, "s": 1.0,
    "minute": 60.0, "min": 60.0, "m": 60.0, "hour": 3600.0, "h": 3600.0, "day": 86400.0, "d": 86400.0,
}  # fmt: skip
_SIZE = {
    "k": 1e3, "kb": 1e3, "ki": 2.0**10, "kib": 2.0**10, "mb": 1e6, "mi": 2.0**20, "mib": 2.0**20,
    "g": 1e9, "gb": 1e9, "gi": 2.0**30, "gib": 2.0**30, "tb": 1e12, "ti": 2.0**40,
}  # fmt: skip
_NUMBER = r"\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?"
_UNIT_NAME = r"nanoseconds?|microseconds?|milliseconds?|millis|seconds?|minutes?|hours?|days?"
_CALL = re.compile(rf"\bof_?({_UNIT_NAME})\s*\(\s*({_NUMBER})\s*\)", re.IGNORECASE)
_KEYWORD = re.compile(rf"\b({_UNIT_NAME})\s*[=:]\s*({_NUMBER})", re.IGNORECASE)
_GO = re.compile(rf"(?<![\w.])(-?{_NUMBER})\s*\*\s*time\.({_UNIT_NAME})", re.IGNORECASE)
_TIME_CONST = re.compile(rf"(?<!\*)(?<!\* )\btime\.({_UNIT_NAME})\b", re.IGNORECASE)
_TIMEUNIT = re.compile(rf"(?<![\w.])(-?{_NUMBER})\s*,\s*TimeUnit\.({_UNIT_NAME})", re.IGNORECASE)
_METHOD = re.compile(rf"(?<![\w.])({_NUMBER})\.({_UNIT_NAME})\b", re.IGNORECASE)
_PLAIN = re.compile(
    rf"(?<![\w.$#])(-?{_NUMBER})\s?(ns|us|µs|ms|min|s|m|h|d|kib|mib|gib|ki|mi|gi|ti|kb|mb|gb|tb|k|g|%)?(?![\w.])",
    re.IGNORECASE,
)
_JVM = re.compile(r"(?<=-X(?:mx|ms|ss))(\d+)([kmg])\b", re.IGNORECASE)
_PROCESSOR = re.compile(r"\bcpu\b", re.IGNORECASE)
BLANK = "\N{WHITE SQUARE}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it stands (`text`) and its value in base units (seconds or bytes where it has a unit)."""

    text: str
    value: float


def quantities_of(line: str) -> tuple[str, tuple[Quantity, ...]]:
    """Return the line with every quantity blanked out, and the quantities from left to right."""
    found: list[tuple[int, Quantity]] = []

    def take(match: re.Match[str], number: str, unit: str | None) -> str:
        found.append((match.start(), Quantity(match.group(0).strip(), _value(number, unit))))
        # Same length as what was matched, so that later positions still sort from left to right.
        return BLANK * len(match.group(0))

    line = _GO.sub(lambda m: take(m, m[1], m[2]), line)
    line = _TIMEUNIT.sub(lambda m: take(m, m[1], m[2]), line)
    line = _CALL.sub(lambda m: take(m, m[2], m[1]), line)
    line = _KEYWORD.sub(lambda m: take(m, m[2], m[1]), line)
    line = _METHOD.sub(lambda m: take(m, m[1], m[2]), line)
    line = _TIME_CONST.sub(lambda m: take(m, "1", m[1]), line)
    line = _JVM.sub(lambda m: take(m, m[1], f"{m[2]}b"), line)
    # Kubernetes writes thousandths of a processor as `500m`.
    milli = bool(_PROCESSOR.search(line))
    line = _PLAIN.sub(lambda m: take(m, m[1], "ms" if milli and m[2] == "m" else m[2]), line)
    return re.sub(f"{BLANK}+", BLANK, line), tuple(q for _, q in sorted(found, key=lambda f: f[0]))


def _value(number: str, unit: str | None) -> float:
    value = float(number.replace("_", ""))
    if not unit:
        return value
    key = unit.lower()
    key = key[:-1] if len(key) > 3 and key.endswith("s") else key
    if key == "%":
        return value
    return value * (_TIME.get(key) or _SIZE.get(key) or 1.0)
