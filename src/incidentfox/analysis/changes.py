"""Which change explains the symptom."""

from __future__ import annotations

from incidentfox.analysis.findings import ChangeFinding, Symptom
from incidentfox.analysis.signals import Changes


def rank_changes(changes: Changes, symptom: Symptom) -> tuple[ChangeFinding, ...]:
    """Return commits and flags that could explain the symptom, best first."""
    deploys = {d.sha: d for d in changes.deploys if d.time <= symptom.onset}
    found = []
    for commit in changes.commits:
        deploy = deploys.get(commit.sha)
        if deploy is None:
            continue
        text = (commit.diff or "").lower()
        matched = tuple(i for i in symptom.identifiers if i.lower() in text)
        found.append(
            ChangeFinding(
                "commit",
                commit.sha,
                commit.message,
                commit.author,
                commit.time,
                score=min(0.9, 0.2 + 0.1 * len(matched)),
                deployed_to=(deploy.service,),
                deployed_at=deploy.time,
                matched=matched,
                excerpt=next((x for x in (commit.diff or "").splitlines() if x[:1] in "+-"), ""),
            )
        )
    return tuple(sorted(found, key=lambda c: (-c.score, c.ref)))
