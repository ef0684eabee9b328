"""Whether a commit was running, where, and since when: from its own deploy, or carried by a later one.

Used by the change ranking. A rollout ships the whole tree up to its head commit, so a change to shared code
goes live with the next deploy of any service that embeds it, under another commit's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from incidentfox.analysis.diffs import classify_file
from incidentfox.analysis.signals import Commit, Deploy
from incidentfox.analysis.vocabulary import word_set, words_of

# What a feed dates later than the onset may still have come before it: metrics are sampled, clocks differ.
SLACK_S = 30.0
_SHARED = re.compile(
    r"^(pkg|libs?|internal|shared|common|platform|core|packages|vendor|protos?|schemas?|modules|third_party)/",
    re.IGNORECASE,
)
_APPLIED_ALONE = frozenset({"config", "migration"})
_GENERIC = word_set("service svc services app api server cmd src main internal pkg lib db go config")


@dataclass(frozen=True, slots=True)
class Reach:
    """How a commit got to production. `weight` is 0..1; `services` those that run it; `at` when it went
    live.
    """

    weight: float
    services: tuple[str, ...]
    at: float | None
    reason: str


def reach_of(
    commit: Commit, commits: Sequence[Commit], deploys: Sequence[Deploy], suffering: Iterable[str], onset: float
) -> Reach:
    """Return how far `commit` reached into the services that suffer before `onset`."""
    suffering = tuple(suffering)
    own = [d for d in deploys if same_sha(d.sha, commit.sha)]
    if own:
        return _own(own, suffering, onset)
    if commit.time > onset + SLACK_S:
        return Reach(0.02, (), None, "was made after the onset")
    if not deploys:
        return Reach(0.7, (), commit.time, "was made before the onset (no deploy feed)")
    by_sha = {c.sha: c for c in commits}
    carriers = [d for d in deploys if commit.time <= d.time <= onset + SLACK_S]
    bumped = [d for d in carriers if d.sha in by_sha and _bumps(by_sha[d.sha], commit)]
    if bumped:
        services = _names(bumped)
        return Reach(0.95, services, bumped[0].time, f"went live through the dependency bump deployed to {services[0]}")
    applied = any(classify_file(path) in _APPLIED_ALONE for path in commit.files)
    if not carriers:
        return (
            Reach(0.45, (), commit.time, "may be applied without a deploy")
            if applied
            else Reach(0.08, (), None, "was not deployed before the onset")
        )
    return _carried(commit, carriers, suffering, applied)


def _own(own: Sequence[Deploy], suffering: tuple[str, ...], onset: float) -> Reach:
    before = [d for d in own if d.time <= onset + SLACK_S]
    if not before:
        # Metrics are stamped by the minute: shortly after the first departed sample is still possible.
        late = min(d.time for d in own) - onset
        weight = 0.8 if late <= 60.0 else 0.2 if late <= 120.0 else 0.02
        return Reach(weight, _names(own), min(d.time for d in own), "was deployed after the onset")
    hit = [d for d in before if d.service in suffering]
    chosen = hit or before
    weight = 1.0 if hit else 0.7
    at = min(d.time for d in chosen)
    services = _names(chosen)
    return Reach(weight, services, at, f"was deployed to {services[0]} before the onset")


def _carried(commit: Commit, carriers: Sequence[Deploy], suffering: tuple[str, ...], applied: bool) -> Reach:
    named = [d for d in carriers if _path_names(commit.files, d.service)]
    hit = [d for d in (named or carriers) if d.service in suffering]
    # Of several that may have carried it, the one to the paged service is asked about first, and the last before it.
    hit = sorted(hit, key=lambda d: (d.service != suffering[0], -d.time))
    chosen = hit or named or list(carriers)
    if named:
        weight = 0.8 if hit else 0.45
    elif any(_SHARED.search(path) for path in commit.files):
        weight = 0.65 if hit else 0.45
    else:
        weight = 0.5 if applied else 0.35
    services = _names(chosen)
    return Reach(weight, services, chosen[0].time, f"could ride on the later deploy to {services[0]}")


def _names(deploys: Iterable[Deploy]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(d.service for d in deploys))


def same_sha(left: str, right: str) -> bool:
    """Whether two commit ids agree; either may be abbreviated to seven or more digits."""
    short, long = sorted((left, right), key=len)
    return len(short) >= 7 and long.startswith(short)


def _path_names(paths: Sequence[str], service: str) -> bool:
    own = [w for w in words_of(service) if w not in _GENERIC]
    squeezed = service.lower().replace("-", "").replace("_", "")
    for path in paths:
        words = set(words_of(path))
        if own and all(w in words for w in own):
            return True
        if any(len(w) > 3 and w not in _GENERIC and squeezed.startswith(w) for w in words):
            return True
    return False


def _bumps(carrier: Commit, commit: Commit) -> bool:
    """Whether `carrier` raises the version of a module whose path ends in a folder of `commit`."""
    if not any(classify_file(path) == "dependency" for path in carrier.files) or not carrier.diff:
        return False
    lines = [line[1:] for line in carrier.diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    modules = [token.strip("\"',:=@^~") for line in lines for token in line.split() if "/" in token or "-" in token]
    folders = {
        "/".join(parts[:n])
        for path in commit.files
        for parts in [path.split("/")[:-1]]
        for n in range(1, len(parts) + 1)
    }
    folders = {f for f in folders if "/" in f or len(f) > 4}
    return any(module == folder or module.endswith("/" + folder) for module in modules for folder in folders)
