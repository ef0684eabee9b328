"""Which section of which runbook speaks of a trouble: BM25 over sections, exact and the same every time.

Used by the tool `find_runbooks` and, for the next step, by the offline model. What is found says what people wrote
down beforehand: it tells what to do, never what broke.

The score of a section for a query is that of S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework:
BM25 and Beyond", Foundations and Trends in Information Retrieval 3(4), 2009:

    sum over words w of both:  idf(w) · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))

with idf(w) = ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative, as in Apache Lucene's BM25Similarity. A word
of the title or of a heading counts several times before tf saturates, after S. Robertson, H. Zaragoza and M. Taylor,
"Simple BM25 Extension to Multiple Weighted Fields", CIKM 2004. To it comes a share of the best section of the same
runbook (J. Callan, "Passage-Level Evidence in Document Retrieval", SIGIR 1994): the remedy is seldom written in the
words of the symptom, but in the same runbook.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from incidentfox.analysis.markdown import read_sections
from incidentfox.analysis.signals import Remediation
from incidentfox.analysis.vocabulary import STOP_WORDS, words_of

MOST_CHARACTERS = 1200
"""Of one excerpt: a longer section is parted."""

_HEADING_CHARACTERS = 300
_SERVICES_SHOWN = 10

_K1, _B = 1.2, 0.75
_HEADING_WEIGHT = 3
_SHARE_OF_BEST = 0.5
_NAMED = 2.0
"""A runbook that names a suffering service was written for it: its sections count double."""

_RUN = re.compile(r"[^\W_]+")
_ACTION = re.compile(
    r"mitigat|remed|resol|recover|restor|rollback|roll back|respon|repair|\bfix|\baction|\bsteps?\b|workaround"
    r"|what to do|procedure|immediate",
    re.IGNORECASE,
)
_REMEDY_HEADINGS: Mapping[Remediation, re.Pattern[str]] = {
    "rollback": re.compile(r"roll(ing)?[ -]?back|revert|undo", re.IGNORECASE),
    "roll-forward": re.compile(r"roll(ing)?[ -]?forward|hot-?fix|ship", re.IGNORECASE),
    "config-revert": re.compile(r"config|setting|revert", re.IGNORECASE),
    "feature-flag-disable": re.compile(r"\bflag|toggle|switch|disabl", re.IGNORECASE),
    "scale": re.compile(r"scal(e|ing)|capacity|replica", re.IGNORECASE),
    "failover": re.compile(r"fail(ing)?[ -]?over|standby|promot", re.IGNORECASE),
    "rotate-cert": re.compile(r"rotat|renew|certificate", re.IGNORECASE),
    "reschedule": re.compile(r"reschedul|drain|\bnodes?\b|evict", re.IGNORECASE),
    "escalate-upstream": re.compile(r"escalat|upstream|provider|vendor|contact", re.IGNORECASE),
    "purge-bad-data": re.compile(r"purg|quarantin|skip|dead.?letter|bad data|clean", re.IGNORECASE),
}
"""Headings under which the remedy of a verdict is written."""


@dataclass(frozen=True, slots=True)
class RunbookText:
    """One runbook as it is configured. `services` are names or patterns (`checkout-*`); none means every service."""

    key: str
    title: str
    text: str
    services: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True, slots=True)
class RunbookSection:
    """A section that was found. `services` are those of the runbook that name what was asked about, else its first few;
    `matched` are the query's words in it, as they were compared; `score` is comparable within one search only.
    """

    runbook: str
    title: str
    heading: str
    excerpt: str
    url: str | None
    services: tuple[str, ...]
    score: float
    matched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Passage:
    runbook: RunbookText
    headings: tuple[str, ...]
    text: str
    counts: Counter[str]

    @property
    def length(self) -> int:
        return self.counts.total()


def find_sections(runbooks: Iterable[RunbookText], query: str, services: Sequence[str] = ()) -> list[RunbookSection]:
    """The sections that speak of the query, best first; of runbooks about these services or about every service.

    Where no word of the query is found, the sections of the runbooks that name one of the services, with score 0.
    """
    ordered = sorted(runbooks, key=lambda runbook: runbook.key)
    passages = [passage for runbook in ordered for passage in _passages(runbook)]
    asked = sorted(set(_words(query)))
    own = _scores(passages, asked)
    best: dict[str, float] = {}
    for passage, score in zip(passages, own, strict=True):
        best[passage.runbook.key] = max(best.get(passage.runbook.key, 0.0), score)
    found: list[RunbookSection] = []
    for passage, score in zip(passages, own, strict=True):
        runbook = passage.runbook
        if runbook.services and services and not concerns(runbook.services, services):
            continue
        names = _names(runbook, services)
        total = (score + _SHARE_OF_BEST * best[runbook.key]) * (_NAMED if names else 1.0)
        found.append(_section(passage, total, asked, services))
    hits = sorted((one for one in found if one.score > 0), key=lambda one: -one.score)
    return hits or [one for one in found if _names(one, services)]


def next_step(
    found: Sequence[RunbookSection], services: Sequence[str], remedy: Remediation | None
) -> RunbookSection | None:
    """The section to follow now; None where no runbook is about this trouble.

    A runbook is about it when it shares a word and names a service that suffers; one for every service must share two
    words, one of them in its title or a heading. Of its sections, the one whose heading is the verdict's remedy comes
    first, then one whose heading promises an action, then the best.
    """
    runbooks: dict[str, list[RunbookSection]] = {}
    for section in found:
        runbooks.setdefault(section.runbook, []).append(section)
    for sections in runbooks.values():
        shared = {word for section in sections for word in section.matched}
        told = {word for section in sections for word in _words(f"{section.title} {section.heading}")}
        is_about = shared if _names(sections[0], services) else len(shared) >= 2 and shared & told
        if not is_about or not (_names(sections[0], services) or _is_for_every_service(sections[0])):
            continue
        wanted = _REMEDY_HEADINGS[remedy] if remedy else _ACTION
        return min(
            sections,
            key=lambda one: (not wanted.search(one.heading), not _ACTION.search(one.heading), -one.score),
        )
    return None


def concerns(patterns: Iterable[str], services: Iterable[str]) -> bool:
    """Whether one of the patterns names one of the services, in upper or lower case."""
    names = [service.casefold() for service in services]
    return any(_matches(pattern.casefold(), name) for pattern in patterns for name in names)


def _names(found: RunbookText | RunbookSection, services: Iterable[str]) -> bool:
    """Whether it names one of the services; `*` alone names none: it is about every service."""
    return concerns([pattern for pattern in found.services if pattern.strip("*")], services)


def _is_for_every_service(found: RunbookText | RunbookSection) -> bool:
    return not any(pattern.strip("*") for pattern in found.services)


def _matches(pattern: str, service: str) -> bool:
    """Whether a pattern, in which `*` stands for any text, matches the whole name. In linear time."""
    if "*" not in pattern:
        return pattern == service
    first, *middle, last = pattern.split("*")
    if not service.startswith(first) or not service.endswith(last) or len(service) < len(first) + len(last):
        return False
    place, end = len(first), len(service) - len(last)
    for part in middle:
        found = service.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _passages(runbook: RunbookText) -> list[_Passage]:
    passages = []
    for section in read_sections(runbook.text, MOST_CHARACTERS):
        # A first heading that repeats the title is no heading of its own.
        headings = section.headings
        if headings and headings[0].casefold() == runbook.title.casefold():
            headings = headings[1:]
        counts = Counter(_words(section.text))
        for word in _words(" ".join((runbook.title, *headings))):
            counts[word] += _HEADING_WEIGHT
        passages.append(_Passage(runbook, headings, section.text, counts))
    return passages


def _scores(passages: Sequence[_Passage], asked: Sequence[str]) -> list[float]:
    """BM25 of each passage; see the module."""
    if not passages:
        return []
    mean = sum(passage.length for passage in passages) / len(passages) or 1.0
    idf = {}
    for word in asked:
        holding = sum(word in passage.counts for passage in passages)
        idf[word] = math.log(1 + (len(passages) - holding + 0.5) / (holding + 0.5))
    scores = []
    for passage in passages:
        norm = _K1 * (1 - _B + _B * passage.length / mean)
        held = [(idf[word], passage.counts[word]) for word in asked if word in passage.counts]
        scores.append(math.fsum(weight * tf * (_K1 + 1) / (tf + norm) for weight, tf in held))
    return scores


def _section(passage: _Passage, score: float, asked: Sequence[str], services: Sequence[str]) -> RunbookSection:
    runbook = passage.runbook
    naming = tuple(pattern for pattern in runbook.services if concerns((pattern,), services))
    return RunbookSection(
        runbook=runbook.key,
        title=runbook.title,
        heading=" › ".join(passage.headings)[:_HEADING_CHARACTERS],
        excerpt=passage.text,
        url=runbook.url,
        services=(naming or runbook.services)[:_SERVICES_SHOWN],
        score=round(score, 4),
        matched=tuple(word for word in asked if word in passage.counts),
    )


def _words(text: str) -> list[str]:
    """The words that are compared: split and folded as in `vocabulary`, with numbers and other scripts, without the
    words that occur everywhere.
    """
    found: list[str] = []
    for run in _RUN.findall(text):
        found += words_of(run) if run.isascii() and not run.isdigit() else [run.casefold()]
    return [word for word in found if len(word) > 1 and word not in STOP_WORDS]
