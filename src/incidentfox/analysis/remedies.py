"""The next step and the name of a failure, from the kind of evidence that carried the verdict.

Used by the diagnosis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from incidentfox.analysis.diffs import classify_file
from incidentfox.analysis.findings import ChangeFinding, LogFinding
from incidentfox.analysis.signals import Remediation

# What never was there cannot be rolled back to health by users who already depend on it; shipping it can.
_LACKING = re.compile(
    r"does not exist|doesn't exist|not found|no such (table|column|function|module|file|key|topic|bucket|index)|"
    r"not registered|unregistered|undefined (table|column|function)|missing (table|column|migration|env|config|secret)|"
    r"no handler|cannot find module|importerror|modulenotfound|not configured|unknown (handler|method|command|route)",
    re.IGNORECASE,
)
_ADDS_NEED = frozenset(
    {"query-added", "setting-required", "call-removed", "code-added", "setting-removed", "migration"}
)

_KINDS = {
    "limit-lowered": "limit lowered",
    "limit-raised": "limit raised",
    "guard-removed": "missing-value check removed",
    "bound-removed": "unbounded query",
    "batching-removed": "query per item",
    "per-item-call": "query per item",
    "cache-removed": "cache bypassed",
    "brake-removed": "back-off or limiter removed",
    "error-handling-removed": "error handling removed",
    "call-removed": "needed call removed",
    "release-removed": "resource leak",
    "query-added": "new query fails",
    "lock-added": "lock contention",
    "transaction-added": "transaction held open",
    "retry-added": "retry storm",
    "background-work-added": "unbounded background work",
    "blocking-call-added": "blocking call",
    "state-grows": "memory leak",
    "stricter": "stricter check",
    "setting-required": "missing setting",
    "regex-added": "expensive pattern",
    "unchecked-access": "missing-value access",
    "migration": "schema migration",
    "setting-removed": "setting removed",
    "setting-added": "configuration change",
    "dependency-bumped": "dependency upgrade",
    "contract-renamed": "contract broken",
    "unit-changed": "unit mistaken",
    "setting-renamed": "setting renamed",
    "key-narrowed": "key collision",
    "value-reshaped": "value in another form",
    "lock-order-changed": "deadlock",
    "labels-widened": "unbounded metric labels",
    "restricted": "permission taken away",
    "call-in-transaction": "transaction held open",
    "built-per-use": "shared client made per use",
    "access-removed": "access removed",
    "value-extended": "value replaced",
    "value-introduced": "unknown value",
    "term-dropped": "term left out",
    "value-replaced": "value replaced",
    "switch-flipped": "switch flipped",
    "logic-altered": "logic error",
    "await-removed": "race",
    "flag-switched": "feature flag",
}


def kind_of(change: ChangeFinding) -> str:
    """The failure that a change caused, in words."""
    return "feature flag" if change.flag else _KINDS.get(change.effect, "bad deploy")


def remedy_for(change: ChangeFinding, logs: Sequence[LogFinding]) -> Remediation:
    """How to undo a change: by flag, by configuration, by shipping what is missing, else by rolling it
    back.
    """
    if change.kind == "flag" or change.flag:
        return "feature-flag-disable"
    if change.files and all(classify_file(path) == "config" for path in change.files):
        return "config-revert"
    lacking = any(_LACKING.search(f"{f.template} {f.example}") for f in logs[:6])
    if lacking and change.effect in _ADDS_NEED:
        return "roll-forward"
    return "rollback"
