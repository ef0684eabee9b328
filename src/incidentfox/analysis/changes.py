"""Which change explains the symptom: by what its diff does, not by how recent it is.

Called by the changes tool. A change scores by three questions, multiplied so that none can be bought by
another: was it running where it hurts when it began (`reach`); is its diff able to do harm (`effects`); and
do its changed lines speak of the symptom (`_link`: the same identifiers, the same values, the same family of
trouble). Recency only breaks ties: innocent deploys lie near every onset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from incidentfox.analysis.diffs import classify_file
from incidentfox.analysis.effect_pairs import Effect
from incidentfox.analysis.effects import effects_of
from incidentfox.analysis.findings import ChangeFinding, Symptom
from incidentfox.analysis.reach import SLACK_S, Reach, reach_of
from incidentfox.analysis.signals import Changes, Commit, FlagChange
from incidentfox.analysis.vocabulary import (
    code_families_in,
    families_in,
    is_compound,
    telling_words,
    word_set,
    words_of,
)

_EXCERPT_LENGTH = 200
_FLAG_PROMPT_S = 600.0
_UNSEEN_DIFF_HAZARD = 0.25
_ECHOED_HAZARD = 0.85
_IN_THE_STACK = 0.55
_REAL_EDIT = 0.25
_STEPPED = re.compile(r"^(.*?)=(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)->(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$")
_NUMBERED = re.compile(r"^(.*?)=(-?\d+(?:\.\d+)?)$")


# Effects whose harm waits: for load, for a cache to run out, for a leak to fill up, for an hour to come.
_LATENT = word_set(
    """
    labels-widened limit-lowered limit-raised built-per-use bound-removed batching-removed per-item-call cache-removed
    brake-removed release-removed lock-added transaction-added retry-added background-work-added state-grows
    blocking-call-added regex-added setting-added setting-removed access-removed unit-changed dependency-bumped
    value-replaced term-dropped lock-order-changed call-in-transaction key-narrowed
    """
)


@dataclass(frozen=True, slots=True)
class _Clue:
    """One identifier of the symptom: its lower-case form, its words, and how telling a match is (0..1)."""

    text: str
    words: frozenset[str]
    weight: float


@dataclass(frozen=True, slots=True)
class _Case:
    """The symptom prepared for comparison with many commits."""

    symptom: Symptom
    families: frozenset[str]
    clues: tuple[_Clue, ...]
    numbers: frozenset[float]
    steps: tuple[tuple[float, float], ...]
    """From where to where each gauge went that stepped."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """One effect of a commit against the symptom."""

    effect: Effect
    strength: float
    matched: tuple[str, ...]
    families: frozenset[str]
    valued: bool


def rank_changes(changes: Changes, symptom: Symptom) -> tuple[ChangeFinding, ...]:
    """Return every commit and flag that could have reached the symptom, best explanation first.

    `score` is 0..1. Commits without a diff are judged by message and files and never score high; those made
    or deployed after the onset stay in the list with a score near zero and the reason.
    """
    documents = [_document(commit) for commit in changes.commits]
    case = _prepare(symptom, documents)
    findings = [_judge_commit(commit, changes, case) for commit in changes.commits]
    findings += [_judge_flag(flag, case) for flag in changes.flags]
    findings += _unknown_deploys(changes, case)
    return tuple(sorted(findings, key=lambda f: (-f.score, -(f.deployed_at or f.time), f.ref)))


def _document(commit: Commit) -> frozenset[str]:
    changed = [line for line in (commit.diff or "").splitlines() if line[:1] in "+-"]
    return frozenset(words_of(" ".join([commit.message, *commit.files, *changed])))


def _prepare(symptom: Symptom, documents: Sequence[frozenset[str]]) -> _Case:
    families = frozenset(symptom.families) or families_in(" ".join(i.replace("_", " ") for i in symptom.identifiers))
    numbers = {float(m[2]) for i in symptom.identifiers if (m := _NUMBERED.match(i))}
    steps = tuple((float(m[2]), float(m[3])) for i in symptom.identifiers if (m := _STEPPED.match(i)))
    clues: dict[str, _Clue] = {}
    for identifier in symptom.identifiers:
        name = identifier.split("=")[0]
        # A compound name is telling as a whole even where each of its words is common.
        words = frozenset(telling_words([name]) or (words_of(name) if is_compound(name) else ()))
        if words and name.lower() not in clues:
            compound = is_compound(name) and len(words) > 1
            rarity = max(_rarity(word, documents) for word in words)
            clues[name.lower()] = _Clue(name.lower(), words, (0.7 if compound else 0.35) * rarity)
    return _Case(symptom, families, tuple(clues.values()), frozenset(numbers), steps)


def _rarity(word: str, documents: Sequence[frozenset[str]]) -> float:
    """1 for a word of one commit only, falling to 0 for one that every commit has (inverse document
    frequency).
    """
    count = len(documents)
    having = sum(word in document for document in documents)
    if count < 2 or having <= 1:
        return 1.0
    return max(0.0, math.log(count / having) / math.log(count))


def _judge_commit(commit: Commit, changes: Changes, case: _Case) -> ChangeFinding:
    onset = case.symptom.onset
    reach = reach_of(commit, changes.commits, changes.deploys, case.symptom.services, onset)
    judged = [_judge_effect(effect, commit, case) for effect in effects_of(commit.diff or "", commit.files)]
    best = max(judged, key=lambda j: j.strength, default=None)
    flag = _switched_on(commit, changes.flags, onset)
    strength = best.strength if best else _unseen(commit, case)
    reasons = (
        [best.effect.note]
        if best
        else ["carries no diff to read"]
        if commit.diff is None
        else ["changes nothing that runs"]
    )
    if best and best.matched:
        reasons.append("names " + ", ".join(best.matched[:4]))
    if best and best.families:
        reasons.append("concerns " + ", ".join(sorted(best.families)))
    if best and best.valued:
        reasons.append("its value shows in the signals")
    reasons.append(reach.reason)
    if flag is not None:
        strength = 1 - (1 - strength) * 0.55
        reasons.append(f"sits behind flag {flag.flag}, switched {flag.change} before the onset")
    return ChangeFinding(
        kind="commit",
        ref=commit.sha,
        title=commit.message,
        author=commit.author,
        time=commit.time,
        score=round(strength * reach.weight * _freshness(reach, onset, best, flag), 4),
        deployed_to=reach.services,
        deployed_at=reach.at,
        matched=best.matched if best else (),
        reasons=tuple(reasons),
        excerpt=_excerpt(best.effect) if best else "",
        effect=best.effect.kind if best else "",
        families=tuple(sorted(best.effect.families)) if best else (),
        files=commit.files[:20],
        flag=flag.flag if flag else "",
    )


def _freshness(reach: Reach, onset: float, best: _Judged | None, flag: FlagChange | None) -> float:
    """What ran well for a while is less likely guilty: little so where harm takes time to build up, more where the
    first call would have shown it.
    """
    latent = best is None or best.effect.kind in _LATENT or flag is not None
    if reach.at is None:
        return 0.85
    hours = max(0.0, onset - reach.at) / 3600.0
    return 1.0 - (0.15 * hours / (hours + 2.0) if latent else 0.3 * hours / (hours + 0.5))


def _judge_effect(effect: Effect, commit: Commit, case: _Case) -> _Judged:
    """Hazard times link. Without any link a dangerous edit still keeps a quarter of its weight."""
    changed = frozenset(words_of(effect.text))
    near = frozenset(words_of(" ".join([effect.path, effect.header, commit.message])))
    text, place = effect.text.lower(), f"{effect.path} {effect.header}".lower()
    miss, matched = 1.0, []
    for clue in case.clues:
        share = max(_share(clue, text, changed, near), 0.6 * _stands_in(clue, place))
        if share > 0:
            miss *= 1.0 - clue.weight * share
        if share >= 0.5:
            matched.append(clue.text)
    families = effect.families & case.families
    family_link = min(0.75, 0.5 + 0.1 * (len(families) - 1)) if families else 0.0
    if not families and code_families_in(effect.path) & case.families:
        family_link = 0.3
    valued = bool(case.numbers.intersection(n for n in effect.numbers if n not in (0.0, 1.0)))
    echoed = any(_echoes(effect.numbers, step) for step in case.steps)
    link = 1.0 - miss * (1.0 - family_link) * (0.2 if echoed else 0.5 if valued else 1.0)
    hazard = max(effect.hazard, _ECHOED_HAZARD) if echoed else effect.hazard
    if effect.hazard >= _REAL_EDIT and any(_is_file(c.text, effect.path.lower()) for c in case.clues):
        hazard = max(hazard, _IN_THE_STACK)
    return _Judged(effect, hazard * (0.25 + 0.75 * link), tuple(matched[:8]), families, valued or echoed)


def _is_file(clue: str, path: str) -> bool:
    """Whether the symptom names the source file by its path, as stack traces do; either may be the longer one."""
    return "/" in clue and "/" in path and (clue.endswith(path) or path.endswith(clue))


def _echoes(numbers: Sequence[float], step: tuple[float, float]) -> bool:
    """Whether a gauge went from the old value of an edit to the new one (to a fiftieth: it may be an average).

    `numbers` are the edit's old and new value, in base units and then as written.
    """
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    return any(all(math.isclose(n, seen, rel_tol=0.02) for n, seen in zip(pair, step, strict=True)) for pair in pairs)


def _share(clue: _Clue, text: str, changed: frozenset[str], near: frozenset[str]) -> float:
    """How fully a clue stands in the changed lines (1 = literally), or near them (at most 0.3)."""
    if _stands_in(clue, text):
        return 1.0
    in_lines = len(clue.words & changed) / len(clue.words)
    in_near = len(clue.words & near) / len(clue.words)
    return max(in_lines * (0.8 if in_lines == 1.0 else 0.4), 0.3 * in_near)


def _stands_in(clue: _Clue, text: str) -> bool:
    return len(clue.text) > 3 and bool(re.search(rf"(?<![a-z0-9]){re.escape(clue.text)}(?![a-z0-9])", text))


def _unseen(commit: Commit, case: _Case) -> float:
    """Strength of a commit whose diff says nothing: by message and files, never high."""
    classes = {classify_file(path) for path in commit.files}
    if commit.diff or (classes and classes <= {"inert", "style", "observability"}):
        return 0.01
    near = frozenset(words_of(" ".join([commit.message, *commit.files])))
    hit = sum(clue.weight for clue in case.clues if clue.words <= near)
    hazard = 0.05 if re.match(r"\W*(docs?|test|ci|style|chore|build)\b", commit.message, re.I) else _UNSEEN_DIFF_HAZARD
    return hazard * (0.25 + 0.75 * min(1.0, hit))


def _excerpt(effect: Effect) -> str:
    """The telling diff line with its sign, whitespace folded so that it stays quotable."""
    sign = effect.line[:1] if effect.line[:1] in "+-" else ""
    body = re.sub(r"\s+", " ", effect.line[len(sign) :]).strip()
    return (sign + body)[:_EXCERPT_LENGTH]


def _switched_on(commit: Commit, flags: Sequence[FlagChange], onset: float) -> FlagChange | None:
    """The flag named in the diff that was changed shortly before the onset: it wakes code deployed
    earlier.
    """
    for flag in flags:
        if flag.flag and flag.flag in (commit.diff or "") and -SLACK_S <= onset - flag.time <= _FLAG_PROMPT_S:
            return flag
    return None


def _judge_flag(flag: FlagChange, case: _Case) -> ChangeFinding:
    """A flag acts at once: the closer before the onset the likelier, and its name must speak of the
    symptom.
    """
    symptom = case.symptom
    since = symptom.onset - flag.time
    words = frozenset(telling_words([flag.flag]))
    matched = tuple(
        c.text for c in case.clues if c.text == flag.flag.lower() or (c.words <= words and len(c.words) > 1)
    )
    miss = 1.0
    for clue in case.clues:
        shared = len(clue.words & words) / len(clue.words)
        miss *= 1.0 - clue.weight * shared * 0.5
    named = flag.flag.lower() in matched
    link = 1.0 - miss * (0.35 if named else 1.0)
    prompt = (
        0.02
        if since < -SLACK_S
        else 1.0
        if since <= _FLAG_PROMPT_S / 2
        else 0.6
        if since <= 2 * _FLAG_PROMPT_S
        else 0.3
    )
    there = 1.0 if flag.service in symptom.services else 0.5
    reasons = [f"flag {flag.flag} was switched {flag.change}"]
    reasons.append("after the onset" if since < -SLACK_S else f"{since / 60:.0f} min before the onset")
    return ChangeFinding(
        kind="flag",
        ref=flag.flag,
        title=f"{flag.flag}: {flag.change}",
        author=flag.actor,
        time=flag.time,
        score=round((0.75 if named else 0.4) * (0.3 + 0.7 * link) * prompt * there, 4),
        deployed_to=(flag.service,),
        deployed_at=flag.time,
        matched=matched[:8],
        reasons=tuple(reasons),
        excerpt=flag.change,
        effect="flag-switched",
    )


def _unknown_deploys(changes: Changes, case: _Case) -> list[ChangeFinding]:
    """Deploys whose commit the feed does not carry: possible, but nothing can be read."""
    known = {commit.sha for commit in changes.commits}
    onset = case.symptom.onset
    return [
        ChangeFinding(
            kind="commit",
            ref=deploy.sha,
            title=f"deploy {deploy.version or deploy.sha[:12]} of {deploy.service}",
            author="",
            time=deploy.time,
            score=0.15 if deploy.service in case.symptom.services and deploy.time <= onset + SLACK_S else 0.02,
            deployed_to=(deploy.service,),
            deployed_at=deploy.time,
            reasons=("its commit is not in the feed",),
        )
        for deploy in changes.deploys
        if not any(sha.startswith(deploy.sha) or deploy.sha.startswith(sha) for sha in known)
    ]
