"""A diff as lines that really changed: comments, layout and moved lines removed, files sorted by what they
are.

Used by the change ranking. Reads unified diffs and the shortened form of change feeds (`@@ path @@
function`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

from incidentfox.analysis.quantities import quantities_of

FileClass = Literal["code", "config", "migration", "dependency", "observability", "style", "inert"]

_INERT = re.compile(
    r"(^|/)(docs?|documentation|testdata|__tests__|tests?|spec|fixtures?|examples?|\.github|\.circleci|\.gitlab|ci)/"
    r"|(_test|_spec|\.test|\.spec|_fuzz_test|_bench_test)\.\w+$|(^|/)test_\w+\.py$"
    r"|\.(md|rst|adoc|golden|snap|png|jpe?g|gif|ico|lock|sum)$"
    r"|(^|/)(CODEOWNERS|LICENSE|README|CHANGELOG|NOTICE|AUTHORS|\.gitignore|\.editorconfig|\.golangci\.ya?ml"
    r"|\.pre-commit-config\.ya?ml|\.gitlab-ci\.ya?ml|Jenkinsfile|package-lock\.json|yarn\.lock|poetry\.lock)"
    r"(\.\w+)?$|(^|/)(staging|dev|sandbox|qa)/",
    re.IGNORECASE,
)
_STYLE = re.compile(r"\.(css|scss|sass|less|svg)$|(^|/)(theme|palette|styles?)\.\w+$", re.IGNORECASE)
_DEPENDENCY = re.compile(
    r"(^|/)(go\.mod|package\.json|requirements[\w.-]*\.(txt|in)|pyproject\.toml|Cargo\.toml|pom\.xml|build\.gradle(\.kts)?"
    r"|Gemfile|composer\.json|Dockerfile|Containerfile|Chart\.yaml)$",
    re.IGNORECASE,
)
_MIGRATION = re.compile(r"(^|/)migrations?/|\.sql$|(^|/)alembic/", re.IGNORECASE)
_CONFIG = re.compile(
    r"\.(ya?ml|json|toml|ini|cfg|conf|properties|options|env|tf|tfvars|hcl|cue|xml)$|(^|/)\.env", re.IGNORECASE
)
_OBSERVABILITY = re.compile(r"(^|/)(metrics|tracing|telemetry|logging)\.\w+$", re.IGNORECASE)

_HUNK = re.compile(r"^@@\s*(?:-\d+(?:,\d+)? \+\d+(?:,\d+)?\s*@@)?\s*(.*)$")
_PATH = re.compile(r"^([\w.@+-]+(?:/[\w.@+-]+)*\.\w+|[\w.@+-]+(?:/[\w.@+-]+)+|Dockerfile|Makefile)\s*(?::|@@|$)")
_COMMENT = re.compile(r"^\s*(//|#(?!include|define|\[)|--|/\*|\*(?=\s|/|$)|<!--|;|\"\"\"|''')")
_TRAILING = re.compile(r"\s+(//|#\s|--\s).*$")


# Bounds on work for one diff; what an incident hangs on stands in small edits.
_MOST_LINES = 2_000
_MOST_COMPARISONS = 2_500
_LONGEST_LINE = 500


@dataclass(slots=True)
class Hunk:
    """One block of a diff: what was taken away and put in (comment-free, whitespace folded), and what
    stood around.
    """

    path: str
    header: str
    removed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    context: list[str] = field(default_factory=list)
    raw: dict[str, str] = field(default_factory=dict)

    @property
    def file_class(self) -> FileClass:
        """What kind of file the block belongs to."""
        return classify_file(self.path)

    def original(self, line: str) -> str:
        """The diff line (with its sign) that `line` was cleaned from."""
        return self.raw.get(line, line)


def classify_file(path: str) -> FileClass:
    """Sort a path: what can change behaviour in production, and how."""
    for pattern, name in (
        (_INERT, "inert"),
        (_STYLE, "style"),
        (_DEPENDENCY, "dependency"),
        (_MIGRATION, "migration"),
        (_CONFIG, "config"),
        (_OBSERVABILITY, "observability"),
    ):
        if pattern.search(path):
            return name  # type: ignore[return-value]
    return "code"


def parse_diff(diff: str, files: Sequence[str] = ()) -> tuple[Hunk, ...]:
    """Return the hunks with at least one line that changed for real.

    A line that is taken out and put back unchanged anywhere in the same diff (moved, re-indented, re-aligned)
    does not count; neither does a comment or a blank line. `files` name the file where the diff itself does
    not.
    """
    hunks: list[Hunk] = []
    path = files[0] if files else ""
    current: Hunk | None = None
    for line in diff.splitlines()[:_MOST_LINES]:
        if line.startswith(("--- ", "+++ ", "diff --git", "index ")):
            target = line[4:].split("\t")[0].strip()
            if line.startswith("+++ ") and target != "/dev/null":
                path = target.removeprefix("b/")
            continue
        if line.startswith("@@"):
            path, header = _open(line, path, files)
            current = Hunk(path, header)
            hunks.append(current)
            continue
        if current is None:
            current = Hunk(path, "")
            hunks.append(current)
        _take(current, line)
    _drop_moved(hunks)
    return tuple(hunk for hunk in hunks if hunk.removed or hunk.added)


def _open(line: str, path: str, files: Sequence[str]) -> tuple[str, str]:
    match = _HUNK.match(line)
    rest = (match.group(1) if match else "").strip().removesuffix("@@").strip()
    named = _PATH.match(rest)
    if named and (named.group(1) in files or "/" in named.group(1) or "." in named.group(1)):
        return named.group(1), rest[named.end() :].strip(" @:")
    return path, rest


def _take(hunk: Hunk, line: str) -> None:
    sign, body = line[:1], line[1:]
    cleaned = clean_line(body)
    if not cleaned:
        return
    if sign == "-":
        hunk.removed.append(cleaned)
    elif sign == "+":
        hunk.added.append(cleaned)
    else:
        hunk.context.append(cleaned)
        return
    hunk.raw.setdefault(cleaned, line.rstrip())


def clean_line(line: str) -> str:
    """The code of a line: comments and layout removed; empty where nothing else stood there."""
    line = line[:_LONGEST_LINE]  # a certificate, a bundle: nothing that is read
    if _COMMENT.match(line):
        return ""
    return re.sub(r"\s+", " ", _TRAILING.sub("", line)).strip()


def _drop_moved(hunks: Sequence[Hunk]) -> None:
    squeeze = re.compile(r"\s+|[,;]$")
    removed = Counter(squeeze.sub("", line) for hunk in hunks for line in hunk.removed)
    added = Counter(squeeze.sub("", line) for hunk in hunks for line in hunk.added)
    both = removed & added
    for side in ("removed", "added"):
        left = both.copy()
        for hunk in hunks:
            kept = []
            for line in getattr(hunk, side):
                key = squeeze.sub("", line)
                if left[key] > 0:
                    left[key] -= 1
                    hunk.context.append(line)
                else:
                    kept.append(line)
            setattr(hunk, side, kept)


_TARGET = re.compile(r"^(?:const |let |var |final |- )*([\w.$\"'-]+)\s*(?::=|=(?!=)|:)")


def _likeness(old: str, new: str) -> float:
    """Similarity of two blanked lines; two settings of the same name belong together whatever they are set to."""
    ratio = SequenceMatcher(None, old, new, autojunk=False).ratio()
    left, right = _TARGET.match(old), _TARGET.match(new)
    return max(ratio, 0.65) if left and right and left.group(1) == right.group(1) else ratio


def pair_lines(hunk: Hunk, *, least: float = 0.6) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Match each removed line with the added line it became: (pairs, removed without, added without).

    Hunks with more than 2,500 possible pairs stay unpaired. Similarity is judged with the quantities blanked out, so
    that a changed number never hides its own line.
    """
    if len(hunk.removed) * len(hunk.added) > _MOST_COMPARISONS:
        # A wholesale rewrite: no line became any other in particular, and comparing all with all takes seconds.
        return [], list(hunk.removed), list(hunk.added)
    pairs: list[tuple[str, str]] = []
    added = [(line, quantities_of(line)[0]) for line in hunk.added]
    alone: list[str] = []
    for old in hunk.removed:
        blanked = quantities_of(old)[0]
        scored = [(_likeness(blanked, new), i) for i, (_, new) in enumerate(added)]
        ratio, index = max(scored, default=(0.0, -1), key=lambda s: (s[0], -s[1]))
        if ratio >= least:
            pairs.append((old, added.pop(index)[0]))
        else:
            alone.append(old)
    return pairs, alone, [line for line, _ in added]
