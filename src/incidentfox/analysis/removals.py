"""What a diff takes away that something relied on: guards, bounds, brakes, calls, releases, access, the order of locks.

Used by `effects`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from incidentfox.analysis.edits import Edits
from incidentfox.analysis.effect_pairs import CHATTER, DEFINITION, Effect
from incidentfox.analysis.vocabulary import word_set

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
    r"preload|select_related|prefetch_related|\.include\(|\beager|joinedload|(?<!\.)\bjoin\b(?!\()|batch|dataloader|in_bulk|\bany\(",
    re.IGNORECASE,
)
_CACHED = re.compile(
    r"cache\.(get|fetch|getorload|set|remember)|@?(lru_)?cache(d|able)?\b|memoi[sz]e|getorload|singleflight",
    re.IGNORECASE,
)
_BRAKE = re.compile(r"back_?off|jitter|limiter|throttl|circuit|breaker|semaphore|debounce|rate_?limit", re.IGNORECASE)
_RELEASE = re.compile(
    r"\.?(close|release|commit|rollback|unlock|cancel|unsubscribe|dispose|remove_?listener|clear_?interval|stop|free|"
    r"put_?conn|return_?connection|shutdown|flush|delete|evict|(?<!ctx\.)done)\w*\(|"
    r"^(async )?with\b.*:$|\busing\b|autocommit",
    re.IGNORECASE,
)
_CALL = re.compile(r"(?<![\w$])([A-Za-z_$][\w$]*)\s*(?:\[[\w.]+\])?\(")
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


def _fewer(pattern: re.Pattern[str], edits: Edits) -> str | None:
    """The first removed line that matches, where the diff leaves fewer matches than it found."""
    before = [
        line
        for line in edits.removed
        if pattern.search(line) and not CHATTER.search(line) and not DEFINITION.match(line)
    ]
    after = sum(len(pattern.findall(line)) for line in edits.added)
    if sum(len(pattern.findall(line)) for line in before) > after:
        return next(
            (line for line in before if not any(pattern.search(a) and line[:20] == a[:20] for a in edits.added)),
            before[0],
        )
    return None


def _lost_guards(edits: Edits) -> Iterable[Effect]:
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
        line = _fewer(pattern, edits)
        if line is not None:
            yield edits.effect(kind, hazard, line, note, families)


def _lost_calls(edits: Edits) -> Iterable[Effect]:
    """Calls that stood alone and are gone: nothing replaces what they did."""
    added_text = " ".join(edits.added)
    before = {name for line in edits.removed for name in _CALL.findall(line)}
    extracted = any(
        name not in before and name not in _KEYWORDS for line in edits.added for name in _CALL.findall(line)
    )
    # Where what took it is gone from the file, too, somebody else does both now.
    handed_over = {hunk.path for hunk in edits.hunks if any(_ACQUIRE.search(line) for line in hunk.removed)}
    for line in edits.removed:
        names = [n for n in _CALL.findall(line) if n not in _KEYWORDS] or [line.lstrip("@")]
        significant = bool(_SIGNIFICANT.search(line.split("(")[0]) or line.startswith(("defer", "@")))
        # A call whose result was used counts only if its name says that it did something that matters.
        alone = bool(_STATEMENT_CALL.match(line)) or (significant and bool(_ASSIGNED_CALL.match(line)))
        if not alone or CHATTER.search(line) or re.search(rf"\b{re.escape(names[0])}\b", added_text):
            continue
        released = bool(_RELEASE.search(line))
        hazard = (0.85 if significant else 0.6) * (0.5 if extracted and not significant else 1.0)
        families = {"pool", "threads", "memory", "lock"} if released else {"absent"} if significant else set()
        kind = "release-removed" if released else "call-removed"
        if released and edits.hunk_of(line).path in handed_over:
            hazard *= _HANDED_OVER
        yield edits.effect(kind, hazard, line, f"no longer calls {names[0]}()", families)


_ACQUIRE = re.compile(
    r"\bbegin\w*\(|(?<![a-z_])r?lock\(|\bacquire\w*\(|\bopen\(|\bconnect\(|\bcheckout\(", re.IGNORECASE
)
_HANDED_OVER = 0.25


def _lost_conditions(edits: Edits) -> Iterable[Effect]:
    """A condition that is gone and of which nothing stands in the new lines."""
    kept = set(re.findall(r"[A-Za-z_]\w*|\d+", " ".join(edits.added)))
    for line in edits.removed:
        match = _CONDITION.match(line)
        terms = set(re.findall(r"[A-Za-z_]\w*|\d+", match.group(1))) - _KEYWORDS if match else set()
        if terms and len(terms & kept) < len(terms) / 2 and not CHATTER.search(line):
            yield edits.effect("guard-removed", 0.65, line, "removes a condition")
            return


def _lost_release(edits: Edits) -> Iterable[Effect]:
    line = _fewer(_RELEASE, edits)
    if line is not None and not _STATEMENT_CALL.match(line):
        families = {"pool", "threads", "memory", "lock"}
        yield edits.effect("release-removed", 0.75, line, "no longer releases what it takes", families)


def _lost_addresses(edits: Edits) -> Iterable[Effect]:
    """Addresses and networks that were listed and are not any more, while others of the list are: who had access from
    there has none.
    """
    for hunk in edits.hunks:
        kept = set(_NETWORK.findall(" ".join([*hunk.context, *hunk.added])))
        for line in hunk.removed:
            gone = [address for address in _NETWORK.findall(line) if address not in kept]
            listed = any("/" in address for address in gone) or bool(
                _GRANTS.search(f"{hunk.path} {hunk.header} {line}")
            )
            if gone and kept and listed:
                families = {"connect", "timeout", "auth"}
                yield edits.effect("access-removed", 0.75, line, f"no longer lists {', '.join(gone[:3])}", families)


_NETWORK = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?![\w.])")
_GRANTS = re.compile(
    r"cidr|allow|ingress|egress|firewall|network|subnet|trusted|whitelist|source_?range|acl", re.IGNORECASE
)


def _lost_lock_order(edits: Edits) -> Iterable[Effect]:
    """Locks that were taken in an order of their own are taken as they come: two takers can hold each other up."""
    for hunk in edits.hunks:
        taken = any(_LOCKS.search(line) for line in hunk.added) and any(_LOCKS.search(line) for line in hunk.removed)
        ordered = next((line for line in hunk.removed if _ORDERS.search(line)), None)
        if taken and ordered is not None and not any(_ORDERS.search(line) for line in hunk.added):
            families = {"lock", "timeout", "race"}
            yield edits.effect("lock-order-changed", 0.85, ordered, "no longer takes its locks in one order", families)
            return


_LOCKS = re.compile(
    r"for_?update|select_for_update|\block(ed|ing)?\b|\.lock\(|acquire|mutex|synchronized", re.IGNORECASE
)
_ORDERS = re.compile(r"\b(math\.)?(min|max)\(|\bsort(ed|By|_by)?\b|order_?by|compare(To)?\(|\.sort", re.IGNORECASE)


REMOVALS: tuple[Callable[[Edits], Iterable[Effect]], ...] = (
    _lost_guards,
    _lost_calls,
    _lost_conditions,
    _lost_release,
    _lost_addresses,
    _lost_lock_order,
)
