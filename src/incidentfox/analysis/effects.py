"""What a diff does, in kinds that an incident can be caused by, and how dangerous each is on its own.

Used by the change ranking. Every detector looks at the lines that really changed (see `diffs`) and answers
with effects; `hazard` (0..1) is how often such an edit changes behaviour for the worse, before anything is
known of the symptom. A commit's message is not read here: harmful changes call themselves "refactor" as often
as not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from incidentfox.analysis.additions import ADDITIONS
from incidentfox.analysis.diffs import Hunk, pair_lines, parse_diff
from incidentfox.analysis.edits import Edits
from incidentfox.analysis.effect_pairs import CHATTER, Effect, pair_effects
from incidentfox.analysis.removals import REMOVALS
from incidentfox.analysis.vocabulary import code_families_in

_MOST_EFFECTS = 60
_HAZARD_CAP = {"inert": 0.01, "style": 0.03, "observability": 0.06}


def effects_of(diff: str, files: Sequence[str] = ()) -> tuple[Effect, ...]:
    """Return what the diff does, most dangerous first; a diff without a real change gives nothing."""
    hunks = parse_diff(diff, files)
    if not hunks:
        return ()
    live = Edits(
        hunks,
        tuple(line for hunk in hunks for line in hunk.removed),
        tuple(line for hunk in hunks for line in hunk.added),
    )
    kept = frozenset(_literals(live.added))
    found: list[Effect] = []
    explained = True
    for hunk in hunks:
        pairs, removed, added = pair_lines(hunk)
        for old, new in pairs:
            effects = list(pair_effects(hunk, old, new, kept=kept))
            explained = explained and bool(effects)
            found.extend(effects)
        found.extend(_settings(hunk, removed, added))
        explained = explained and not removed and not added
    for detector in (*REMOVALS, *ADDITIONS, _moved_settings):
        found.extend(detector(live))
    if not explained:
        found.extend(_rewrites(live))
    capped = [_capped(effect, live.hunks) for effect in found]
    return tuple(sorted(capped, key=lambda e: -e.hazard)[:_MOST_EFFECTS])


def _capped(effect: Effect, hunks: Sequence[Hunk]) -> Effect:
    file_class = next(h.file_class for h in hunks if h.path == effect.path)
    wide = effect.kind == "labels-widened" and file_class == "observability"
    cap = 1.0 if wide else _HAZARD_CAP.get(file_class, 1.0)
    return effect if effect.hazard <= cap else effect.with_hazard(cap)


def _settings(hunk: Hunk, removed: Sequence[str], added: Sequence[str]) -> Iterable[Effect]:
    """Keys of a configuration file that vanish or appear without a counterpart."""
    if hunk.file_class != "config":
        return
    for line in removed:
        families = code_families_in(f"{line} {hunk.header}") | {"absent", "startup"}
        yield Effect("setting-removed", 0.65, families, hunk.original(line), line, "removes a setting", hunk.path)
    for line in added:
        families = code_families_in(f"{line} {hunk.header}")
        if _RESTRICTS.search(line):
            said = families | {"auth", "disk", "connect", "startup"}
            note = "takes away what the workload may do"
            yield Effect("restricted", 0.75, said, hunk.original(line), line, note, hunk.path)
            continue
        yield Effect("setting-added", 0.3, families, hunk.original(line), line, "adds a setting", hunk.path)


_RESTRICTS = re.compile(
    r"readOnlyRootFilesystem\W+true|runAsNonRoot\W+true|\bdrop\W+ALL\b|^- [\"']?ALL[\"']?$|"
    r"deny[-_]?all|default[-_]deny",
    re.IGNORECASE,
)


def _moved_settings(edits: Edits) -> Iterable[Effect]:
    """A named number that stands elsewhere now, with another value: as good as a changed line."""
    before, after = (_named_numbers(lines) for lines in (edits.removed, edits.added))
    for key in (key for key in before if key in after):
        (_, old, _), (name, new, line) = before[key], after[key]
        if old == new:
            continue
        hunk = edits.hunk_of(line)
        for effect in pair_effects(hunk, f"{name}: {old}", f"{name}: {new}", kept=frozenset()):
            yield replace(effect, line=hunk.original(line))


def _named_numbers(lines: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Each name by its lower-case form, as it is written, with its first number and the line where that stands."""
    found: dict[str, tuple[str, str, str]] = {}
    for line in lines:
        for name, number in _NAMED_NUMBER.findall(line):
            found.setdefault(name.lower(), (name, number, line))
    return found


_NAMED_NUMBER = re.compile(r"\b([A-Za-z_]\w{4,})\s*[:=]\s*(\d[\d_.]*)(?![\w.])")


def _rewrites(edits: Edits) -> Iterable[Effect]:
    """What no other detector names: new code, or code written in another way."""
    if any(h.file_class in ("migration", "config") for h in edits.hunks):
        return
    spoken = [line for line in edits.added if not CHATTER.search(line)]
    gone = [line for line in edits.removed if not CHATTER.search(line)]
    if not spoken and not gone:
        line = (edits.added or edits.removed)[0]
        yield edits.effect("chatter", 0.04, line, "only touches logging, metrics or messages", {"disk"})
    elif gone and not spoken:
        yield edits.effect("code-removed", 0.45, gone[0], "removes code")
    elif gone:
        preserved = _literals(gone) <= _literals(edits.added)
        hazard, note = (0.12, "rewrites code and keeps its values") if preserved else (0.3, "rewrites code")
        yield edits.effect("rewritten", hazard, spoken[0], note)
    elif named := next((line for line in spoken if _NEW_VALUE.search(line)), None):
        yield edits.effect("value-introduced", 0.42, named, "introduces a value that others must know", {"schema"})
    elif all(_PROTECTIVE.search(line) or _CLOSING.match(line) for line in spoken):
        yield edits.effect("guard-added", 0.06, spoken[0], "only adds a check or a release")
    else:
        defined = bool(_DEFINES.search(spoken[0]))
        yield edits.effect("code-added", 0.2 if defined else 0.3, spoken[0], "adds code")


_PROTECTIVE = re.compile(
    r"^(if|guard|defer|finally|except|else if)\b.*(\blen\(|[<>]|nil|null|none|empty|close\(|put\()", re.I
)
# A named constant in quotes: an enum member, a topic, a status; `=` or `:` with a single word after it.
_NEW_VALUE = re.compile(r"^[\w.]+\s*(?:=|:)\s*[\"'][\w.-]+[\"'][,;]?$")
_CLOSING = re.compile(r"^[\s{}()\[\];,]*$|^return\b.*$|^\w+ = \w+$|^(continue|break)\b")
_DEFINES = re.compile(
    r"^(export |public |private |async |static |pub )*(func|function|def|fn|class|interface|type|var|const|let)\b"
)
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`|(?<![\w.])-?\d+(?:\.\d+)?")


def _literals(lines: Iterable[str]) -> set[str]:
    return {literal for line in lines for literal in _LITERAL.findall(line)}
