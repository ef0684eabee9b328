"""Log templates by Drain, and which of them are new or surged after the onset.

Called by the logs tool. Drain: P. He, J. Zhu, Z. Zheng and M. R. Lyu, "Drain: An Online Log Parsing Approach
with Fixed Depth Tree", ICWS 2017, pp. 33-40. A message walks a tree of fixed depth (token count, then leading
tokens); in the leaf it joins the group whose template shares the most tokens in place, or starts a group of
its own.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from incidentfox.analysis.findings import LogFinding
from incidentfox.analysis.signals import LogPattern, LogRecord

WILDCARD = "<*>"
_SEVERITY_WEIGHT = {"fatal": 1.0, "critical": 1.0, "error": 0.9, "warn": 0.7, "info": 0.25, "debug": 0.15}
_SENTIMENT_SEVERITY = {"negative": "ERROR", "positive": "INFO", "neutral": "INFO"}
_MAXIMUM_FINDINGS = 40
_EXAMPLE_LENGTH = 400
_LONGEST_MESSAGE = 1000
_PATTERN_OVERLAP = 0.7

# Masked before the tree sees a token: what varies from line to line in every system.
_MASKS = (
    re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*Z?\b"),
    re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"),
    re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE),
    re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,}\b", re.IGNORECASE),
    re.compile(r"(?<![\w$.])-?\d+(?:\.\d+)?(?=(?:ns|us|µs|ms|s|m|h|%|kb|mb|gb|b)?\b)", re.IGNORECASE),
)


def masked(message: str) -> str:
    """The message with ids, addresses, times and numbers replaced by the wildcard."""
    for mask in _MASKS:
        message = mask.sub(WILDCARD, message)
    return message


@dataclass(slots=True)
class Group:
    """One log group of a Drain leaf: its template tokens and how many messages it took."""

    tokens: list[str]
    size: int = 0

    @property
    def template(self) -> str:
        """The template as text, wildcards as `<*>`."""
        return " ".join(self.tokens)


@dataclass(slots=True)
class Drain:
    """The parse tree. `depth` counts the levels of leading tokens; `similarity` is the share of equal tokens
    to join.
    """

    depth: int = 2
    similarity: float = 0.5
    max_children: int = 100
    _leaves: dict[tuple[str, ...], list[Group]] = field(default_factory=lambda: defaultdict(list))
    _children: dict[tuple[str, ...], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, message: str) -> Group:
        """Put one message into the tree and return its group (the template may generalise later)."""
        tokens = masked(message).split() or [""]
        leaf = self._leaves[self._path(tokens)]
        group = self._most_similar(leaf, tokens)
        if group is None:
            group = Group(tokens)
            leaf.append(group)
        else:
            group.tokens = [a if a == b else WILDCARD for a, b in zip(group.tokens, tokens, strict=True)]
        group.size += 1
        return group

    def _path(self, tokens: Sequence[str]) -> tuple[str, ...]:
        path: tuple[str, ...] = (str(len(tokens)),)
        for token in tokens[: self.depth]:
            known = self._children[path]
            # Tokens with digits are variables (paper, section III.C); a full level sends the rest one way.
            step = WILDCARD if any(c.isdigit() for c in token) or WILDCARD in token else token
            if step not in known and len(known) >= self.max_children:
                step = WILDCARD
            known.add(step)
            path = (*path, step)
        return path

    def _most_similar(self, leaf: Sequence[Group], tokens: Sequence[str]) -> Group | None:
        best, best_score = None, 0.0
        for group in leaf:
            score = sum(a == b for a, b in zip(group.tokens, tokens, strict=True)) / len(tokens)
            if score > best_score:
                best, best_score = group, score
        return best if best_score >= self.similarity else None


@dataclass(slots=True)
class _Tally:
    """What is known of one template of one service while counting."""

    template: str
    service: str
    before: int = 0
    after: int = 0
    first_seen: float | None = None
    last_seen: float | None = None
    severities: Counter[str] = field(default_factory=Counter)
    example: str = ""
    messages: set[str] = field(default_factory=set)
    normalised: bool = False


def find_log_patterns(
    records: Sequence[LogRecord], patterns: Sequence[LogPattern], *, onset: float
) -> tuple[LogFinding, ...]:
    """Return the templates that are new or surged at or after `onset` (Unix seconds), most telling first.

    Counts come from `patterns` where the backend counted (its sample of records is thinner than the truth)
    and from `records` otherwise; times and examples always come from the records. A template that shrank is
    reported too when it fell by more than half, with a low score: traffic that no longer succeeds is a
    symptom, never a cause.
    """
    tallies = _count(records, onset)
    _apply_patterns(tallies, patterns)
    before_share = _observed_share(records, onset)
    findings = [f for tally in tallies if (f := _finding(tally, before_share)) is not None]
    findings.sort(key=lambda f: (-f.score, f.first_seen or math.inf, f.service, f.template))
    return tuple(findings[:_MAXIMUM_FINDINGS])


def _count(records: Sequence[LogRecord], onset: float) -> list[_Tally]:
    trees: dict[str, Drain] = defaultdict(Drain)
    known: dict[tuple[str, str], Group] = {}
    placed: list[tuple[LogRecord, Group]] = []
    for record in records:
        key = (record.service, record.message[:_LONGEST_MESSAGE])
        if key in known:
            known[key].size += 1
        else:
            known[key] = trees[record.service].add(key[1])
        placed.append((record, known[key]))
    tallies: dict[tuple[str, int], _Tally] = {}
    for record, group in placed:
        tally = tallies.setdefault((record.service, id(group)), _Tally(group.template, record.service))
        tally.severities[record.severity.upper()] += 1
        tally.messages.add(record.message)
        if record.time < onset:
            tally.before += 1
        else:
            tally.after += 1
        if tally.first_seen is None or record.time < tally.first_seen:
            tally.first_seen = record.time
        if tally.last_seen is None or record.time > tally.last_seen:
            tally.last_seen, tally.example = record.time, example_of(record)
    return list(tallies.values())


def example_of(record: LogRecord) -> str:
    """The message with its scalar attributes as `key=value`: stacks, limits and codes often stand only
    there.
    """
    extras = [
        f"{key}={value}"
        for key, value in record.attributes.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value)
    ]
    return " ".join([record.message, *extras])[:_EXAMPLE_LENGTH]


def _apply_patterns(tallies: list[_Tally], patterns: Sequence[LogPattern]) -> None:
    for pattern in patterns:
        words = _words(pattern.signature)
        matches = [
            t
            for t in tallies
            if t.service == pattern.service and _overlap(words, _words(t.template)) >= _PATTERN_OVERLAP
        ]
        before = max(0, pattern.count - (pattern.delta if pattern.delta is not None else pattern.count))
        if not matches:
            severity = _SENTIMENT_SEVERITY.get(pattern.sentiment.lower(), "INFO")
            tally = _Tally(
                pattern.signature, pattern.service, before, pattern.count, example=pattern.signature, normalised=True
            )
            tally.severities[severity] += 1
            tallies.append(tally)
            continue
        best = max(matches, key=lambda t: (_overlap(words, _words(t.template)), t.after))
        if pattern.delta is not None:
            best.before, best.after, best.normalised = before, max(pattern.count, best.after), True


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z][a-z_]+", text.lower()))


def _overlap(pattern: frozenset[str], template: frozenset[str]) -> float:
    return len(pattern & template) / len(pattern) if pattern else 0.0


def _observed_share(records: Iterable[LogRecord], onset: float) -> float:
    """How long the baseline was observed against the incident: makes counts on both sides comparable."""
    times = [r.time for r in records]
    if not times:
        return 1.0
    before, after = onset - min(times), max(times) - onset
    return min(20.0, max(0.05, before / after)) if before > 0 and after > 0 else 1.0


def _finding(tally: _Tally, before_share: float) -> LogFinding | None:
    severity = _worst(tally.severities)
    # A backend's own delta already compares like with like; raw counts do not.
    expected = tally.before / (1.0 if tally.normalised else before_share)
    growth = math.log2((tally.after + 0.5) / (expected + 0.5))
    if abs(growth) < 1.0 or max(tally.before, tally.after) < 1:
        return None
    if growth < 0:
        weight, size = 0.1, min(1.0, -growth / 6.0)
    else:
        weight, size = _SEVERITY_WEIGHT.get(_level_name(severity), 0.3), min(1.0, growth / 6.0)
        if tally.before == 0:
            size = min(1.0, size + 0.3)
    return LogFinding(
        service=tally.service,
        template=tally.template,
        severity=severity,
        before=tally.before,
        after=tally.after,
        first_seen=tally.first_seen,
        score=round(weight * size, 4),
        example=tally.example,
        distinct=len(tally.messages),
    )


def _worst(severities: Counter[str]) -> str:
    return max(severities, key=lambda s: (_SEVERITY_WEIGHT.get(_level_name(s), 0.3), severities[s]), default="INFO")


def _level_name(severity: str) -> str:
    name = severity.lower()
    return "warn" if name.startswith("warn") else "error" if name in ("err", "panic") else name
