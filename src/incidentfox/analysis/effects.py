"""What a diff does, in kinds that an incident can be caused by, and how dangerous each is on its own.

Used by the change ranking. Every detector looks at the lines that really changed (see `diffs`) and answers
with effects; `hazard` (0..1) is how often such an edit changes behaviour for the worse, before anything is
known of the symptom. A commit's message is not read here: harmful changes call themselves "refactor" as often
as not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from incidentfox.analysis.diffs import Hunk, pair_lines, parse_diff
from incidentfox.analysis.effect_pairs import CHATTER, DEFINITION, Effect, pair_effects
from incidentfox.analysis.vocabulary import code_families_in, word_set

_MOST_EFFECTS = 60
_HAZARD_CAP = {"inert": 0.01, "style": 0.03, "observability": 0.06}

_NULL_GUARD = re.compile(
    r"(?<!err )(?<!error )(?:[!=]==?|\bis(?: not)?)\s*(?:nil|null|None|undefined)\b|\?\.|\?\?|ispresent\(|is_some\(|"
    r"isinstance\(|hasattr\(|\.get\(|getordefault|get_or_default|unwrap_or|\bif let\b|if not \w+:|if \(?!\w[\w.]*\)?",
    re.IGNORECASE,
)
_LENGTH_GUARD = re.compile(r"\bif\b.*(\blen\(|\.length\b|\.size\(\)|isempty|\bempty\()", re.IGNORECASE)
_RESCUE = re.compile(r"\b(try|catch|except|rescue|finally|recover\(\))", re.IGNORECASE)
_BOUND = re.compile(
    r"\blimit\s+[\d:$?%{@]|\.(limit|take|first|top|paginate|page)\(|\bfetch first\b|\btop\s*\(?\d|page_?size|"
    r"\bwhere\b|\.where\(|\.filter\(|islice\(|\[:\w+\]",
    re.IGNORECASE,
)
_BATCHED = re.compile(
    r"preload|select_related|prefetch_related|\.include\(|\beager|joinedload|\bjoin\b|batch|dataloader|in_bulk|\bany\(",
    re.IGNORECASE,
)
_CACHED = re.compile(
    r"cache\.(get|fetch|getorload|set|remember)|@?(lru_)?cache(d|able)?\b|memoi[sz]e|getorload|singleflight",
    re.IGNORECASE,
)
_BRAKE = re.compile(r"back_?off|jitter|limiter|throttl|circuit|breaker|semaphore|debounce|rate_?limit", re.IGNORECASE)
_RELEASE = re.compile(
    r"\.?(close|release|commit|rollback|unlock|cancel|unsubscribe|dispose|remove_?listener|clear_?interval|stop|free|"
    r"put_?conn|return_?connection|shutdown|flush|delete|evict|done)\w*\(|^(async )?with\b.*:$|\busing\b|autocommit",
    re.IGNORECASE,
)
_CALL = re.compile(r"([A-Za-z_$][\w$]*)\s*(?:\[[\w.]+\])?\(")
_STATEMENT_CALL = re.compile(r"^(?:await |defer |go |@|app\.|self\.|this\.)*[\w.$]+\(.*\)?\s*[;,{]?$|^@[\w.]+$")
_ASSIGNED_CALL = re.compile(r"^[\w.]+(?:, *[\w.]+)* :?= (?:await )?[\w.$]+\(.*\)?;?$")
_CONDITION = re.compile(r"^(?:\} )?(?:if|elif|else if|unless|guard)\b(?!.*\b(?:err|error|ok|exc)\b)(.*)$")
_KEYWORDS = word_set(
    "if for while switch return func function def catch except with match elif select range "
    "append make len print new super require string int float str list dict set map"
)
_SIGNIFICANT = re.compile(
    r"regist|close|release|commit|rollback|lock|cancel|subscri|dispose|flush|\back|init|setup|configure|valid|check|"
    r"verif|auth|saniti|escape|mount|invalid|evict|seed|load|migrat|limit|throttl|retry|back_?off|jitter|clear|reset|"
    r"leeway|toleran|skew|free|shutdown|stop|wait|refresh|schedul|use\b|add_?(route|handler|index)|bind|provide|install|enable|warm",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Diff:
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


def effects_of(diff: str, files: Sequence[str] = ()) -> tuple[Effect, ...]:
    """Return what the diff does, most dangerous first; a diff without a real change gives nothing."""
    hunks = parse_diff(diff, files)
    if not hunks:
        return ()
    live = _Diff(
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
    for detector in _DETECTORS:
        found.extend(detector(live))
    if not explained:
        found.extend(_rewrites(live))
    capped = [_capped(effect, live.hunks) for effect in found]
    return tuple(sorted(capped, key=lambda e: -e.hazard)[:_MOST_EFFECTS])


def _capped(effect: Effect, hunks: Sequence[Hunk]) -> Effect:
    file_class = next(h.file_class for h in hunks if h.path == effect.path)
    cap = _HAZARD_CAP.get(file_class, 1.0)
    return effect if effect.hazard <= cap else effect.with_hazard(cap)


def _fewer(pattern: re.Pattern[str], diff: _Diff) -> str | None:
    """The first removed line that matches, where the diff leaves fewer matches than it found."""
    before = [
        line
        for line in diff.removed
        if pattern.search(line) and not CHATTER.search(line) and not DEFINITION.match(line)
    ]
    after = sum(len(pattern.findall(line)) for line in diff.added)
    if sum(len(pattern.findall(line)) for line in before) > after:
        return next(
            (line for line in before if not any(pattern.search(a) and line[:20] == a[:20] for a in diff.added)),
            before[0],
        )
    return None


def _lost_guards(diff: _Diff) -> Iterable[Effect]:
    for pattern, kind, hazard, families, note in (
        (_NULL_GUARD, "guard-removed", 0.85, {"null"}, "removes a check for a missing value"),
        (_LENGTH_GUARD, "guard-removed", 0.7, {"null"}, "removes a check for an empty collection"),
        (_RESCUE, "error-handling-removed", 0.65, {"null", "threads"}, "removes error handling"),
        (_BOUND, "bound-removed", 0.9, {"query", "memory", "timeout"}, "removes the bound of a query or loop"),
        (
            _BATCHED,
            "batching-removed",
            0.7,
            {"query", "timeout", "rate", "traffic"},
            "fetches one by one what was fetched together",
        ),
        (_CACHED, "cache-removed", 0.7, {"cache", "query", "timeout", "rate", "traffic"}, "bypasses a cache"),
        (_BRAKE, "brake-removed", 0.8, {"retry", "rate", "traffic"}, "removes back-off, a limiter or a breaker"),
    ):
        line = _fewer(pattern, diff)
        if line is not None:
            yield diff.effect(kind, hazard, line, note, families)


def _lost_calls(diff: _Diff) -> Iterable[Effect]:
    """Calls that stood alone and are gone: nothing replaces what they did."""
    added_text = " ".join(diff.added)
    before = {name for line in diff.removed for name in _CALL.findall(line)}
    extracted = any(name not in before and name not in _KEYWORDS for line in diff.added for name in _CALL.findall(line))
    for line in diff.removed:
        names = [n for n in _CALL.findall(line) if n not in _KEYWORDS] or [line.lstrip("@")]
        significant = bool(_SIGNIFICANT.search(line.split("(")[0]) or line.startswith(("defer", "@")))
        # A call whose result was used counts only if its name says that it did something that matters.
        alone = bool(_STATEMENT_CALL.match(line)) or (significant and bool(_ASSIGNED_CALL.match(line)))
        if not alone or CHATTER.search(line) or re.search(rf"\b{re.escape(names[0])}\b", added_text):
            continue
        released = bool(_RELEASE.search(line))
        hazard = (0.85 if significant else 0.6) * (0.5 if extracted and not significant else 1.0)
        families = {"pool", "threads", "memory", "lock"} if released else {"absent"} if significant else set()
        yield diff.effect("call-removed", hazard, line, f"no longer calls {names[0]}()", families)


def _lost_conditions(diff: _Diff) -> Iterable[Effect]:
    """A condition that is gone and of which nothing stands in the new lines."""
    kept = set(re.findall(r"[A-Za-z_]\w*|\d+", " ".join(diff.added)))
    for line in diff.removed:
        match = _CONDITION.match(line)
        terms = set(re.findall(r"[A-Za-z_]\w*|\d+", match.group(1))) - _KEYWORDS if match else set()
        if terms and len(terms & kept) < len(terms) / 2 and not CHATTER.search(line):
            yield diff.effect("guard-removed", 0.65, line, "removes a condition")
            return


def _lost_release(diff: _Diff) -> Iterable[Effect]:
    line = _fewer(_RELEASE, diff)
    if line is not None and not _STATEMENT_CALL.match(line):
        families = {"pool", "threads", "memory", "lock"}
        yield diff.effect("release-removed", 0.75, line, "no longer releases what it takes", families)


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
        (r"\bretry\b|retries|for attempt|max_attempts|\.retry\(|while true|for \{$", "retry-added", 0.6,
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


def _additions(diff: _Diff) -> Iterable[Effect]:
    before = " ".join(diff.removed)
    for pattern, kind, hazard, families, note in _ADDED:
        fresh = [a for a in diff.added if pattern.search(a) and not CHATTER.search(a)]
        # What already stood in the removed lines is moved or reworded, not new.
        if fresh and not pattern.search(before):
            yield diff.effect(kind, hazard, fresh[0], note, families)


def _per_item_calls(diff: _Diff) -> Iterable[Effect]:
    """A call to a store or another service that now stands inside a new loop (N + 1)."""
    loops = [
        i
        for i, line in enumerate(diff.added)
        if re.search(r"\bfor\b(?! (update|share|no key)\b)|\.forEach\(|\.map\(|\beach\b", line)
    ]
    remote = re.compile(
        r"\b(db|repo|store|client|session|dao|http|api|rpc|cache|fetch|quer|find|load|get\w+by)\w*[.(]", re.I
    )
    for i in loops:
        for line in diff.added[i : i + 6]:
            if remote.search(line) and not CHATTER.search(line) and line not in diff.removed:
                yield diff.effect(
                    "per-item-call", 0.7, line, "calls once per item", {"query", "timeout", "pool", "rate", "cpu"}
                )
                return


def _lost_addresses(diff: _Diff) -> Iterable[Effect]:
    """Addresses and networks that were listed and are not any more: who had access from there has none."""
    kept = set(_NETWORK.findall(" ".join(diff.added)))
    for line in diff.removed:
        gone = [address for address in _NETWORK.findall(line) if address not in kept]
        if gone and kept:
            families = {"connect", "timeout", "auth"}
            yield diff.effect("access-removed", 0.75, line, f"no longer lists {', '.join(gone[:3])}", families)


_NETWORK = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?\b")


def _held_calls(diff: _Diff) -> Iterable[Effect]:
    """A call to another service that now stands between the begin of a transaction and its end."""
    for hunk in diff.hunks:
        around = " ".join([hunk.header, *hunk.context])
        if not _TRANSACTION.search(around):
            continue
        for line in hunk.added:
            if _REMOTE.search(line) and not _TRANSACTION.search(line) and not CHATTER.search(line):
                families = {"lock", "pool", "timeout", "threads"}
                yield diff.effect("call-in-transaction", 0.8, line, "calls out while it holds a transaction", families)
                return


_TRANSACTION = re.compile(
    r"for_?update|begin_?tx|\bbegin\(|begin_nested|@Transactional|transaction\b|\.atomic\(|\btx\b", re.IGNORECASE
)
_REMOTE = re.compile(
    r"\b(?:[a-z]\w*\.)+(?!db\b|tx\b|repo|store|dao|log)[A-Za-z]\w*\((?:ctx|context)\b|"
    r"\b\w*(?:client|http|api|rpc|gateway|provider)\w*\.\w+\(|\b(?:fetch|requests\.\w+|axios\.\w+)\(|await fetch",
    re.IGNORECASE,
)


def _lost_lock_order(diff: _Diff) -> Iterable[Effect]:
    """Locks that were taken in an order of their own are taken as they come: two takers can hold each other up."""
    if not any(_LOCKS.search(line) for line in diff.added):
        return
    for line in diff.removed:
        if _ORDERS.search(line) and not any(_ORDERS.search(added) for added in diff.added):
            families = {"lock", "timeout", "race"}
            yield diff.effect("lock-order-changed", 0.85, line, "no longer takes its locks in one order", families)
            return


_LOCKS = re.compile(
    r"for_?update|select_for_update|\block(ed|ing)?\b|\.lock\(|acquire|mutex|synchronized", re.IGNORECASE
)
_ORDERS = re.compile(r"\b(math\.)?(min|max)\(|\bsort(ed|By|_by)?\b|order_?by|compare(To)?\(|\.sort", re.IGNORECASE)


def _built_per_use(diff: _Diff) -> Iterable[Effect]:
    """What was made once and shared is made anew each time that it is asked for."""
    shared = {name for line in diff.removed for name in _MADE.findall(line) if _KEPT.match(line)}
    for line in diff.added:
        if shared.intersection(_MADE.findall(line)) and re.match(r"return\b|get\b|=>", line):
            families = {"query", "pool", "cache", "rate", "traffic", "cpu", "timeout", "threads"}
            yield diff.effect("built-per-use", 0.75, line, "makes anew for each use what was shared", families)
            return


_MADE = re.compile(r"\b(?:new )?(\w*(?:Loader|Client|Pool|Session|Cache|Connection|Producer|Channel|Executor))\s*[<(]")
_KEPT = re.compile(r"(?:const|let|var|val|final|static|private|self\.|this\.|\w+ :?=)")
_MIGRATION = tuple(
    (re.compile(pattern, re.IGNORECASE), hazard, frozenset(families.split()), note)
    for pattern, hazard, families, note in (
        (r"drop index", 0.9, "query timeout cpu", "drops an index"),
        (r"drop (table|column|view|constraint)", 0.9, "absent schema", "drops a table or column"),
        (r"rename (column|table|to)|rename_column|rename_table", 0.9, "absent schema", "renames a table or column"),
        (r"alter .*(type|set not null)|alter_column", 0.8, "schema lock timeout", "rewrites or restricts a column"),
        (r"lock table|vacuum full|reindex (?!.*concurrently)|cluster ", 0.85, "lock timeout", "locks a whole table"),
        (r"create (unique )?index(?! concurrently)", 0.6, "lock timeout", "builds an index under a write lock"),
        (r"create (unique )?index concurrently", 0.06, "query", "builds an index without blocking"),
        (r"^update (?!.*where)|^delete from (?!.*where)", 0.75, "lock timeout", "writes to every row"),
        (r"add constraint|foreign key|add column .*not null", 0.6, "lock schema timeout", "adds a constraint"),
        (r"create trigger", 0.5, "timeout lock", "adds a trigger"),
    )
)  # fmt: skip


def _migrations(diff: _Diff) -> Iterable[Effect]:
    for line in diff.added:
        for pattern, hazard, families, note in _MIGRATION:
            if pattern.search(line):
                yield diff.effect("migration", hazard, line, note, families)
                break


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
    r"readOnlyRootFilesystem\W+true|runAsNonRoot\W+true|allowPrivilegeEscalation\W+false|\bdrop\b\W+\W*ALL|networkpolicy|"
    r"seccomp|deny[-_]?all|default[-_]deny|automountServiceAccountToken\W+false",
    re.IGNORECASE,
)


def _moved_settings(diff: _Diff) -> Iterable[Effect]:
    """A named number that stands elsewhere now, with another value: as good as a changed line."""
    before, after = (_named_numbers(lines) for lines in (diff.removed, diff.added))
    for name in before.keys() & after.keys():
        (old, _), (new, line) = before[name], after[name]
        hunk = diff.hunk_of(line)
        if old == new or any(name in removed for removed in hunk.removed):
            continue
        for effect in pair_effects(hunk, f"{name}: {old}", f"{name}: {new}", kept=frozenset()):
            yield replace(effect, line=hunk.original(line))


def _named_numbers(lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Each name that has one number, and the line where it stands."""
    found: dict[str, tuple[str, str]] = {}
    for line in lines:
        for name, number in _NAMED_NUMBER.findall(line):
            if name not in found or found[name][0] == number:
                found[name] = (number, line)
    return found


_NAMED_NUMBER = re.compile(r"\b([A-Za-z_]\w{4,})\s*[:=]\s*(\d[\d_.]*)(?![\w.])")


def _rewrites(diff: _Diff) -> Iterable[Effect]:
    """What no other detector names: new code, or code written in another way."""
    if any(h.file_class in ("migration", "config") for h in diff.hunks):
        return
    spoken = [line for line in diff.added if not CHATTER.search(line)]
    gone = [line for line in diff.removed if not CHATTER.search(line)]
    if not spoken and not gone:
        line = (diff.added or diff.removed)[0]
        yield diff.effect("chatter", 0.04, line, "only touches logging, metrics or messages", {"disk"})
    elif gone and not spoken:
        yield diff.effect("code-removed", 0.45, gone[0], "removes code")
    elif gone:
        preserved = _literals(gone) <= _literals(diff.added)
        hazard, note = (0.12, "rewrites code and keeps its values") if preserved else (0.3, "rewrites code")
        yield diff.effect("rewritten", hazard, spoken[0], note)
    elif named := next((line for line in spoken if _NEW_VALUE.search(line)), None):
        yield diff.effect("value-introduced", 0.42, named, "introduces a value that others must know", {"schema"})
    elif all(_PROTECTIVE.search(line) or _CLOSING.match(line) for line in spoken):
        yield diff.effect("guard-added", 0.06, spoken[0], "only adds a check or a release")
    else:
        defined = bool(_DEFINES.search(spoken[0]))
        yield diff.effect("code-added", 0.2 if defined else 0.3, spoken[0], "adds code")


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


_DETECTORS: tuple[Callable[[_Diff], Iterable[Effect]], ...] = (
    _lost_guards,
    _lost_calls,
    _lost_conditions,
    _lost_release,
    _additions,
    _per_item_calls,
    _lost_addresses,
    _built_per_use,
    _lost_lock_order,
    _held_calls,
    _moved_settings,
    _migrations,
)
