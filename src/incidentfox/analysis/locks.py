"""Which database sessions hold others up, directly or through a chain of waiters.

Called by the database tool on Postgres's activity view joined with `pg_blocking_pids()`. The usual culprit is
a session that is "idle in transaction": it waits for its client, holds its row locks and shows no running
query.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from incidentfox.analysis.findings import LockFinding
from incidentfox.analysis.signals import DatabaseSession


def find_blockers(sessions: Sequence[DatabaseSession]) -> tuple[LockFinding, ...]:
    """Return the sessions at the head of a wait chain, the longest transaction first.

    A head blocks at least one session and waits for none that is known; where every blocker waits (a deadlock
    that Postgres has not broken yet) each member of the cycle is a head. `waiting` counts all sessions that
    wait for the head directly or through others; `victims` are their application names, sorted.
    """
    by_pid = {session.pid: session for session in sessions}
    waits_for_me: dict[int, set[int]] = defaultdict(set)
    for session in sessions:
        for blocker in session.blocked_by:
            if blocker in by_pid and blocker != session.pid:
                waits_for_me[blocker].add(session.pid)
    findings = []
    for pid in waits_for_me:
        victims = _reachable(pid, waits_for_me)
        waits = [other for other in by_pid[pid].blocked_by if other in by_pid and other != pid]
        if any(other not in victims for other in waits):
            continue
        findings.append(_finding(by_pid[pid], [by_pid[v] for v in victims]))
    return tuple(sorted(findings, key=lambda f: (-f.transaction_age_s, -f.waiting, f.pid)))


def _reachable(start: int, edges: Mapping[int, set[int]]) -> set[int]:
    """Every pid that waits for `start` through any chain, without `start` itself."""
    seen: set[int] = set()
    stack = list(edges.get(start, ()))
    while stack:
        pid = stack.pop()
        if pid in seen or pid == start:
            continue
        seen.add(pid)
        stack.extend(edges.get(pid, ()))
    return seen


def _finding(session: DatabaseSession, victims: Sequence[DatabaseSession]) -> LockFinding:
    return LockFinding(
        pid=session.pid,
        application=session.application,
        state=session.state,
        transaction_age_s=session.transaction_age_s,
        query=session.query,
        waiting=len(victims),
        victims=tuple(sorted({victim.application for victim in victims})),
    )
