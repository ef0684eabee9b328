"""The fusion of all findings into one verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence

from incidentfox.analysis.findings import (
    Anomaly,
    ChangeFinding,
    Claim,
    Diagnosis,
    LockFinding,
    LogFinding,
    Suspect,
    Symptom,
    TraceReport,
)
from incidentfox.analysis.signals import Alert, StatusNotice


def symptom_of(
    alert: Alert, anomalies: Sequence[Anomaly], logs: Sequence[LogFinding], traces: TraceReport
) -> Symptom:
    """Return what a change must explain."""
    services = dict.fromkeys([alert.service, *(a.service for a in anomalies), *(f.service for f in logs)])
    onset = min([a.onset for a in anomalies if a.onset <= alert.fired_at], default=alert.fired_at)
    words = re.findall(
        r"[A-Za-z_]{4,}", " ".join([alert.metric, alert.summary, *(f.template for f in logs[:5])])
    )
    return Symptom(tuple(services), onset, tuple(dict.fromkeys(words)))


def diagnose(
    alert: Alert,
    *,
    anomalies: Sequence[Anomaly] = (),
    logs: Sequence[LogFinding] = (),
    traces: TraceReport = TraceReport(),
    changes: Sequence[ChangeFinding] = (),
    locks: Sequence[LockFinding] = (),
    notices: Sequence[StatusNotice] = (),
) -> Diagnosis:
    """Return the verdict on one alert from whatever findings there are."""
    best = changes[0] if changes else None
    enough = best is not None and best.score >= 0.4
    return Diagnosis(
        enough_evidence=enough,
        service=alert.service,
        change=best.ref if best and enough else None,
        kind="bad-deploy" if enough else "unknown",
        summary=best.title if best and enough else "Not enough evidence.",
        first_failing_service=alert.service,
        suspects=tuple(
            Suspect(c.deployed_to[0] if c.deployed_to else alert.service, c.ref, c.score, c.title)
            for c in changes[:5]
        ),
        blast_radius=tuple(sorted({a.service for a in anomalies} - {alert.service})),
        remediation="rollback" if enough else None,
        confidence=best.score if best and enough else 0.2,
        claims=(Claim(f"Commit {best.ref} was deployed before the onset.", "changes", best.ref),)
        if best and enough
        else (),
    )
