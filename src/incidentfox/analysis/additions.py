"""What a diff brings in that can do harm: statements, locks, retries, work, strictness, calls per item or under a lock.

Used by `effects`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from incidentfox.analysis.edits import Edits
from incidentfox.analysis.effect_pairs import CHATTER, Effect

_ADDED: tuple[tuple[re.Pattern[str], str, float, frozenset[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, hazard, frozenset(families.split()), note)
    for pattern, kind, hazard, families, note in (
        (r"\b(select\b.*\bfrom|insert into|update \w+ set|delete from)\b", "query-added", 0.55,
         "query schema absent", "runs a statement that it did not run before"),
        (r"\bfor update\b(?! (skip locked|nowait))|for_update|lock table|\.lock\(\)|synchronized|lock\.acquire|"
         r"advisory_lock|select_for_update",
         "lock-added", 0.6, "lock timeout threads", "takes a lock"),
        (r"\bbegin\b|\.begin\(|start_?transaction|autocommit\s*=\s*(false|off|0)|begin_nested", "transaction-added",
         0.65, "lock pool timeout", "opens a transaction"),
        (r"\bretry\b(?!-after)|retries|for attempt|max_attempts|\.retry\(|while true|for \{$", "retry-added", 0.6,
         "retry rate traffic cpu timeout", "retries or loops"),
        (r"\bgo func|\bgo \w+\(|new thread|thread\(|setinterval|add_?listener|addeventlistener|\.on\(|\.subscribe\(|"
         r"create_task|executor(?!\w*\.(shutdown|close|await))|spawn\(|time\.after\(|newticker",
         "background-work-added", 0.55,
         "threads memory race cpu", "starts background work"),
        (r"\bsleep\(|readfilesync|execsync|\.result\(\)|\.get\(\)\.block|run_until_complete|requests\.(get|post)\(",
         "blocking-call-added", 0.6, "timeout threads pool cpu", "blocks where it did not"),
        (r"\w\.\w+\[[\w.]+\]\s*=[^=]", "state-grows", 0.55, "memory", "keeps every entry it ever saw"),
        (r"\.append\(|\.push\(|append\(|\.put\(|\.add\(|\.store\(", "state-grows", 0.35,
         "memory", "keeps adding to a structure"),
        (r"\braise\b|\bthrow\b|panic\(|\brequired?\b|\bstrict\b|\.must\w*\(|\bassert\b|disallowunknown|reject|deny|forbid",
         "stricter", 0.5, "schema absent auth null startup", "refuses what it accepted before"),
        (r"getenv\(|os\.environ|process\.env|env\[|lookupenv|config\.get\w*\(|secret", "setting-required", 0.5,
         "absent startup auth", "depends on a new setting"),
        (r"\(\.[*+]\)[*+]|\([^)]*[+*]\)[+*]|(re\.compile|new regexp|regexp\.mustcompile|pattern\.compile)\(",
         "regex-added", 0.45, "cpu timeout", "evaluates a new pattern"),
        (r"\b(unwrap\(\)|expect\(|!!\.|\.get\(0\)|\[0\])|\.value!", "unchecked-access", 0.45, "null",
         "reads a value without a check"),
    )
)  # fmt: skip


def _additions(edits: Edits) -> Iterable[Effect]:
    before = " ".join(edits.removed)
    for pattern, kind, hazard, families, note in _ADDED:
        fresh = [a for a in edits.added if pattern.search(a) and not CHATTER.search(a)]
        # What already stood in the removed lines is moved or reworded, not new.
        if fresh and not pattern.search(before):
            yield edits.effect(kind, hazard, fresh[0], note, families)


def _per_item_calls(edits: Edits) -> Iterable[Effect]:
    """A call to a store or another service that now stands inside a new loop (N + 1)."""
    loops = [
        i
        for i, line in enumerate(edits.added)
        if re.search(r"\bfor\b(?! (update|share|no key)\b)|\.forEach\(|\.map\(|\beach\b", line)
    ]
    remote = re.compile(
        r"\b(db|repo|store|client|session|dao|http|api|rpc|cache|fetch|quer|find|load|get\w+by)\w*[.(]", re.I
    )
    for i in loops:
        for line in edits.added[i : i + 6]:
            if remote.search(line) and not CHATTER.search(line) and line not in edits.removed:
                yield edits.effect(
                    "per-item-call", 0.7, line, "calls once per item", {"query", "timeout", "pool", "rate", "cpu"}
                )
                return


def _held_calls(edits: Edits) -> Iterable[Effect]:
    """A call to another service that now stands where a transaction is worked in. Whether before its end or after, the
    block no longer tells where it also commits: then it counts for less.
    """
    for hunk in edits.hunks:
        around = " ".join([hunk.header, *hunk.context])
        if not _TRANSACTION.search(around):
            continue
        for line in hunk.added:
            if _REMOTE.search(line) and not _TRANSACTION.search(line) and not CHATTER.search(line):
                families = {"lock", "pool", "timeout", "threads"}
                hazard = 0.4 if re.search(r"commit\(", around, re.IGNORECASE) else 0.8
                yield edits.effect(
                    "call-in-transaction", hazard, line, "calls out while it holds a transaction", families
                )
                return


_TRANSACTION = re.compile(
    r"for_?update|begin_?tx|\bbegin\(|begin_nested|@Transactional|transaction\b|\.atomic\(|\btx\b", re.IGNORECASE
)
_REMOTE = re.compile(
    r"\b(?:[a-z]\w*\.)+(?!db\b|tx\b|repo|store|dao|log)[A-Za-z]\w*\((?:ctx|context)\b|"
    r"\b\w*(?:client|http|api|rpc|gateway|provider)\w*\.\w+\(|\b(?:fetch|requests\.\w+|axios\.\w+)\(|await fetch",
    re.IGNORECASE,
)


def _early_returns(edits: Edits) -> Iterable[Effect]:
    """A way out between the taking of something and its release, where nothing sees to the release on every way."""
    for hunk in edits.hunks:
        taken = next((i for i, line in enumerate(hunk.added) if _TAKES.search(line)), None)
        if taken is None or any(_EVERY_WAY.search(line) for line in hunk.added):
            continue
        after = hunk.added[taken + 1 :]
        given = next((i for i, line in enumerate(after) if _GIVES_BACK.search(line)), 0)
        left = next((line for line in after[:given] if re.match(r"return\b", line)), None)
        if left is not None:
            families = {"pool", "lock", "threads", "memory"}
            yield edits.effect("release-removed", 0.85, left, "returns before it releases what it took", families)
            return


_TAKES = re.compile(
    r"^(?!.*\b(?:with|using)\b).*(\.acquire\(|\.start\(\)|\bbegin(_?tx)?\(|(?<![a-z_])lock\(\)|\bopen\()", re.I
)
_EVERY_WAY = re.compile(r"^(finally|defer|ensure)\b|\busing\b|^(async )?with\b|^\} finally", re.IGNORECASE)
_GIVES_BACK = re.compile(r"\.(release|commit|rollback|unlock|close)\(", re.IGNORECASE)


def _wider_labels(edits: Edits) -> Iterable[Effect]:
    """A metric that is told apart by what has no end of values: a series for each session, user or address."""
    before = " ".join(edits.removed)
    for line in edits.added:
        fresh = [label for label in _ENDLESS.findall(line) if f'"{label}"' not in before]
        if _LABELS.search(line) and fresh:
            families = {"memory", "cpu", "query", "disk", "traffic"}
            yield edits.effect("labels-widened", 0.7, line, f"labels a metric by {fresh[0]}", families)
            return


_LABELS = re.compile(r"label|\[\]string\{|tags?\s*[=:(\[{]|Counter\(|Gauge\(|Histogram\(|Vec\(", re.IGNORECASE)
_ENDLESS = re.compile(
    r"[\"']((?:\w+_)?(?:sid|session(?:_?id)?|user(?:_?id)?|uid|email|ip|url|path|trace_?id|request_?id|uuid|token|query))[\"']",
    re.IGNORECASE,
)


def _built_per_use(edits: Edits) -> Iterable[Effect]:
    """What was made once and shared is made anew each time that it is asked for."""
    shared = {name for line in edits.removed for name in _MADE.findall(line) if _KEPT.match(line)}
    for line in edits.added:
        if shared.intersection(_MADE.findall(line)) and re.match(r"return\b|get\b|=>", line):
            families = {"query", "pool", "cache", "rate", "traffic", "cpu", "timeout", "threads"}
            yield edits.effect("built-per-use", 0.75, line, "makes anew for each use what was shared", families)
            return


_MADE = re.compile(r"\b(?:new )?(\w*(?:Loader|Client|Pool|Session|Cache|Connection|Producer|Channel|Executor))\s*[<(]")
_KEPT = re.compile(r"(?:const|let|var|val|final|static|private|self\.|this\.|\w+ :?=)")
_MIGRATION = tuple(
    (re.compile(pattern, re.IGNORECASE), hazard, frozenset(families.split()), note)
    for pattern, hazard, families, note in (
        (r"drop index", 0.9, "query timeout cpu", "drops an index"),
        (r"drop (table|column|view|constraint)", 0.9, "absent schema", "drops a table or column"),
        (r"rename (column|table|to)|rename_column|rename_table", 0.9, "absent schema", "renames a table or column"),
        (r"add column .*\bdefault \w+\(", 0.85, "lock schema timeout disk", "rewrites a whole table for a default"),
        (r"alter .*(type|set not null)|alter_column", 0.8, "schema lock timeout", "rewrites or restricts a column"),
        (r"create_index\((?!.*concurrently)|\badd_index\b(?!.*concurrently)", 0.7, "lock timeout query",
         "builds an index under a write lock"),
        (r"\bdrop_(table|column|index|constraint)\(|\bremove_(column|index)\b|dropColumn\(|dropTable\(", 0.85,
         "absent schema query", "drops part of a table"),
        (r"lock table|vacuum full|reindex (?!.*concurrently)|cluster ", 0.85, "lock timeout", "locks a whole table"),
        (r"create (unique )?index(?! concurrently)", 0.6, "lock timeout", "builds an index under a write lock"),
        (r"create (unique )?index concurrently", 0.06, "query", "builds an index without blocking"),
        (r"^update (?!.*where)|^delete from (?!.*where)", 0.75, "lock timeout", "writes to every row"),
        (r"add constraint|foreign key|add column .*not null", 0.6, "lock schema timeout", "adds a constraint"),
        (r"create trigger", 0.5, "timeout lock", "adds a trigger"),
    )
)  # fmt: skip


def _migrations(edits: Edits) -> Iterable[Effect]:
    for hunk in edits.hunks:
        beside = any("concurrently" in line.lower() for line in hunk.added)
        for line in hunk.added:
            found = next((kind for kind in _MIGRATION if kind[0].search(line)), None)
            if found is not None:
                _, hazard, families, note = found
                # A builder's call goes over several lines, and says so on a later one.
                harmless = beside and bool(re.search(r"(create|add)_index\b", line))
                yield edits.effect("migration", 0.06 if harmless else hazard, line, note, families)


ADDITIONS: tuple[Callable[[Edits], Iterable[Effect]], ...] = (
    _additions,
    _per_item_calls,
    _held_calls,
    _early_returns,
    _wider_labels,
    _built_per_use,
    _migrations,
)
