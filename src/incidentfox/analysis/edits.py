"""The lines that a diff really changed, all together: what every detector of effects looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from incidentfox.analysis.diffs import Hunk
from incidentfox.analysis.effect_pairs import Effect
from incidentfox.analysis.vocabulary import code_families_in


@dataclass(frozen=True, slots=True)
class Edits:
    """All that the detectors look at: the hunks, and the changed lines over all of them."""

    hunks: tuple[Hunk, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]

    def hunk_of(self, line: str) -> Hunk:
        """The hunk that a changed line stands in."""
        return next(h for h in self.hunks if line in h.removed or line in h.added)

    def effect(self, kind: str, hazard: float, line: str, note: str, families: Iterable[str] = ()) -> Effect:
        """An effect seen on one changed line."""
        hunk = self.hunk_of(line)
        spoken = code_families_in(f"{line} {hunk.header}")
        return Effect(
            kind, hazard, frozenset(families) | spoken, hunk.original(line), line, note, hunk.path, (), hunk.header
        )
