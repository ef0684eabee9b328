"""What it means that one line became another: a value moved, a name changed, a switch flipped, logic turned.

Used by `effects` for each pair of a removed and an added line that belong together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from incidentfox.analysis.diffs import Hunk
from incidentfox.analysis.libraries import is_development_tool, library_families
from incidentfox.analysis.quantities import Quantity, quantities_of
from incidentfox.analysis.vocabulary import code_families_in, words_of

# Lines that only talk: they can be wrong without anything breaking.
CHATTER = re.compile(
    r"\b(log|logger|logging|slog|console|LOG_[A-Z]+)\b\s*[.(]|\bprint(f|ln)?\(|fmt\.Print|prometheus|\bmetrics?\.|"
    r"\b\w*(counter|histogram|gauge)\w*\b|statsd|SetAttributes?\(|set_attribute\(|\.Inc\(|\.Observe\(|\.observe\(|"
    r"tracer?\.|^\s*(Name|Help|Buckets):",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a diff does. `line` is the diff line with its sign, `text` the changed code it was read
    from.

    `hazard` is 0..1, `families` are those of `vocabulary.FAMILIES`, `note` says it in words; `numbers` are
    the old and new values of a changed quantity; `path` and `header` (the function) say where.
    """

    kind: str
    hazard: float
    families: frozenset[str]
    line: str
    text: str
    note: str
    path: str = ""
    numbers: tuple[float, ...] = ()
    header: str = ""

    def with_hazard(self, hazard: float) -> Effect:
        """The same effect with another hazard."""
        return replace(self, hazard=hazard)


@dataclass(frozen=True, slots=True)
class _Dial:
    """A kind of setting: the words that name it, and the hazard of turning it down or up."""

    words: frozenset[str]
    down: float
    up: float
    families: frozenset[str]


def _dial(words: str, down: float, up: float, families: str = "") -> _Dial:
    return _Dial(frozenset(words.split()), down, up, frozenset(families.split()))


# Most specific first: "idle" decides over "max", "timeout" over "limit".
_DIALS = (
    _dial("idle health keepalive grace", 0.4, 0.2),
    _dial("timeout deadline budget patience wait", 0.95, 0.45, "timeout"),
    _dial("ttl expiry expire expiration expires lifetime age lease", 0.9, 0.45, "cache query traffic"),
    _dial("retry retrie attempt", 0.45, 0.85, "retry rate traffic timeout"),
    _dial("backoff jitter delay interval period poll sleep frequency debounce", 0.75, 0.4, "retry rate cpu traffic"),
    _dial("batch prefetch concurrency parallelism fanout chunk inflight flight", 0.5, 0.7, "memory queue rate timeout"),
    _dial("memory heap xmx cpu request resource", 0.95, 0.15, "memory cpu startup"),
    _dial("conn connection pool semaphore slot", 0.95, 0.25, "pool timeout"),
    _dial("replica worker thread executor shard partition instance", 0.9, 0.35, "threads queue traffic timeout pool"),
    _dial("rate burst quota qps rps throttle ratelimit", 0.9, 0.4, "rate"),
    _dial("retention rotate backup", 0.5, 0.6, "disk"),
    _dial("cost round iteration depth level", 0.3, 0.6, "cpu timeout"),
    _dial("limit page top", 0.7, 0.65, "query memory rate"),
    _dial("max maximum size capacity buffer queue entry quorum min minimum backlog", 0.85, 0.3, "memory queue cache"),
    _dial("weight share split percent", 0.6, 0.7, "traffic"),
    _dial("threshold failure error ratio sample sampling", 0.6, 0.6),
)  # fmt: skip
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?[\w.+-]*")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
_SWITCH = re.compile(r"\b(true|false|enabled?|disabled?|on|off|yes|no)\b", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z_$][\w$]*|\"[^\"]*\"|'[^']*'|`[^`]*`|[<>=!]=?=?|&&|\|\||[+*/%-]|\d+(?:\.\d+)?")
_OPERATOR = re.compile(r"^(?:[<>]=?|[=!]==?|&&|\|\||[+*/%-])$")
_CONTRACT = re.compile(
    r"json|yaml|xml|proto|column|field|\bkey|topic|queue|table|header|route|path|env|:\s*$|^\s*[\w-]+\s*:", re.I
)


def pair_effects(hunk: Hunk, old: str, new: str, *, kept: frozenset[str]) -> Iterable[Effect]:
    """Return what the replacement of `old` by `new` does (nothing where it only reads differently).

    `kept` are the literals that the new side of the whole diff still holds: a name that merely moved to
    another line is not renamed.
    """
    if hunk.file_class == "dependency" and (effect := _version_effect(hunk, old, new)):
        return [effect]
    if CHATTER.search(old) and CHATTER.search(new):
        return [_effect(hunk, old, new, "chatter", 0.04, "only touches logging, metrics or messages")]
    if _is_build_label(old) and _is_build_label(new):
        return [_effect(hunk, old, new, "version-label", 0.05, "changes a version label")]
    if DEFINITION.match(old) and DEFINITION.match(new) and _IMPORT.match(old):
        return [_effect(hunk, old, new, "rewritten", 0.1, "imports other names")]
    moved = list(_moved_quantities(hunk, old, new))
    if moved:
        return moved
    if (named := _named_otherwise(hunk, old, new, kept)) is not None:
        return [named]
    old_code, new_code = _STRING.sub('""', old), _STRING.sub('""', new)
    if old_code == new_code:
        return [_string_effect(hunk, old, new, kept)]
    if _SWITCH.sub("?", old) == _SWITCH.sub("?", new):
        return [_effect(hunk, old, new, "switch-flipped", 0.6, "flips a switch")]
    return _token_effects(hunk, old, new, kept)


def _named_otherwise(hunk: Hunk, old: str, new: str, kept: frozenset[str]) -> Effect | None:
    """The same quantity read in another unit, the same field of another type, the same value under another key."""
    units, others = (_UNIT_NAME.findall(quantities_of(line)[0]) for line in (old, new))
    if len({_UNITS[u.lower()] for u in units}) == len({_UNITS[u.lower()] for u in others}) == 1 and (
        _UNITS[units[0].lower()] != _UNITS[others[0].lower()]
    ):
        effect = _effect(hunk, old, new, "unit-changed", 0.85, f"reads in {others[0]} what it read in {units[0]}")
        return replace(effect, families=effect.families | {"timeout", "rate", "time"})
    typed, retyped = _FIELD.match(old), _FIELD.match(new)
    if typed and retyped and typed[1] == retyped[1] and typed[2] != retyped[2]:
        note = f"makes {typed[1]} a {retyped[2]}, which was a {typed[2]}"
        effect = _effect(hunk, old, new, "contract-renamed", 0.75, note)
        return replace(effect, families=effect.families | {"schema", "amount"})
    return _renamed_setting(hunk, old, new, kept) if hunk.file_class == "config" else None


def _renamed_setting(hunk: Hunk, old: str, new: str, kept: frozenset[str]) -> Effect | None:
    before, after = _VARIABLE.match(old), _VARIABLE.match(new)
    if not before or not after:
        before, after = _SETTING.match(old), _SETTING.match(new)
        if not before or not after or before[2] != after[2]:
            return None
    if before[1] == after[1]:
        return None
    known = any(after[1] in literal for literal in kept)
    note = f"renames the setting {before[1]} to {after[1]}"
    effect = _effect(hunk, old, new, "setting-renamed", 0.35 if known else 0.75, note)
    return replace(effect, families=effect.families | {"absent", "startup"})


def _effect(hunk: Hunk, old: str, new: str, kind: str, hazard: float, note: str) -> Effect:
    families = code_families_in(f"{old} {new} {hunk.header}")
    return Effect(kind, hazard, families, hunk.original(new), f"{old} {new}", note, hunk.path, (), hunk.header)


def _moved_quantities(hunk: Hunk, old: str, new: str) -> Iterable[Effect]:
    old_blank, before = quantities_of(old)
    new_blank, after = quantities_of(new)
    if len(before) != len(after) or not before:
        return
    for left, right in zip(before, after, strict=True):
        if left.value != right.value and not (_VERSION.search(old) and "." in left.text and left.text.count(".") > 1):
            yield _quantity_effect(hunk, (old, new), (left, right), exact=old_blank == new_blank)


def _quantity_effect(hunk: Hunk, lines: tuple[str, str], values: tuple[Quantity, Quantity], *, exact: bool) -> Effect:
    old, new = lines
    before, after = values
    low, high = sorted((abs(before.value), abs(after.value)))
    ratio = high / low if low else math.inf
    down = after.value < before.value
    if ratio < 1.2 or _ADDRESS.search(new):
        note = f"replaces {before.text} by {after.text}"
        return _effect(hunk, old, new, "value-replaced", 0.65 if _ADDRESS.search(new) else 0.3, note)
    if _LOGGING.search(new):
        return _effect(hunk, old, new, "chatter", 0.1, f"logs from {after.text} on instead of {before.text}")
    names = words_of(quantities_of(new)[0]) + words_of(old)
    dial = _find_dial(names) or _find_dial(words_of(hunk.header)) or _find_dial(words_of(" ".join(hunk.context[-3:])))
    base = (dial.down if down else dial.up) if dial else 0.45
    # A factor of two is often tuning; from about six on it is another order of things.
    hazard = base * (0.5 + 0.5 * min(1.0, math.log2(ratio) / 2.5)) * (1.0 if exact else 0.95)
    families = code_families_in(f"{old} {new} {hunk.header}") | (dial.families if dial else frozenset())
    name = _name_of(new)
    factor = f" ({ratio:.3g} times)" if ratio < 1e6 else ""
    note = f"{name} {'lowered' if down else 'raised'} from {before.text} to {after.text}{factor}"
    kind = "limit-lowered" if down else "limit-raised"
    numbers = (before.value, after.value, *_plain_numbers(before.text, after.text))
    return Effect(kind, hazard, families, hunk.original(new), f"{old} {new}", note, hunk.path, numbers, hunk.header)


def _plain_numbers(*texts: str) -> Iterable[float]:
    """The digits as written: telemetry repeats `300` for `300 * time.Millisecond`."""
    for text in texts:
        match = re.search(r"\d[\d_]*(?:\.\d+)?", text)
        if match:
            yield float(match.group(0).replace("_", ""))


def _find_dial(words: Iterable[str]) -> _Dial | None:
    spoken = set(words) | {word.removesuffix("ed") for word in words}
    if {"max", "idle"} <= spoken or {"idle", "time"} <= spoken:
        return _DIALS[0]
    found = next((dial for dial in _DIALS if dial.words & spoken), None)
    if found is not None:
        return found
    # Names run together (`maxmemory`, `poolsize`) still end or begin with the word that matters.
    joined = [word for word in spoken if len(word) > 6]
    return next(
        (d for d in _DIALS if any(j.startswith(w) or j.endswith(w) for j in joined for w in d.words if len(w) > 3)),
        None,
    )


def _name_of(line: str) -> str:
    """The setting's name: what stands before the first `=` or `:`, else the first call."""
    match = re.match(r"(?:const |let |var |final |static |export )*[\"']?([\w.$-]+)[\"']?\s*(?::=|[:=])", line)
    if match and not _SHORT_VARIABLES.match(match.group(1)):
        return match.group(1)
    call = re.search(r"([A-Za-z_][\w.]*)\s*\(", line)
    return call.group(1) if call else match.group(1) if match else "a value"


# A number that names something (a port, an address, an id) has no size: any other value is simply another one.
_ADDRESS = re.compile(
    r"\bports?\b|_port|://|[\w-]+\.[\w.-]+:\d|localhost|\d+\.\d+\.\d+\.\d+|\b\w*_?id\b", re.IGNORECASE
)
DEFINITION = re.compile(
    r"^(?:export |default |public |private |protected |internal |async |static |final |abstract |override |"
    r"pub(?:\(\w+\))? )*"
    r"(?:func|function|def|fn|fun|class|interface|trait|struct|enum|type|import|from|use|using|require|package)\b"
)
_LOGGING = re.compile(
    r"^[\"'-]*\s*(?:\w+[._-])?(?:log|trace|sampl|metrics?|scrape)[._-]?(?:\w+[._-])*\w*\s*[:=]", re.IGNORECASE
)
_IMPORT = re.compile(r"^(?:import|from|use|using|require)\b")
_UNIT_NAME = re.compile(
    r"(?:^|(?-i:(?<=[a-z])(?=[A-Z]))|(?<=[\W_]))(nano|micro|milli|second|sec|minute|hour|day)s?(?:econds?)?(?![a-z])",
    re.IGNORECASE,
)
_UNITS = {"nano": -9, "micro": -6, "milli": -3, "second": 0, "sec": 0, "minute": 1, "hour": 2, "day": 3}
# An environment variable of a workload, as Kubernetes lists them.
_VARIABLE = re.compile(r"^- (?:name: )[\"']?([A-Z][A-Z0-9_]+)[\"']?$")
_TYPE = (
    r"str|string|String|text|int|Int|integer|Integer|i32|i64|u32|u64|int32|int64|long|Long|short|number|float|Float|"
    r"float64|double|Double|decimal|Decimal|BigDecimal|bool|boolean|Boolean|bytes|date|Date|datetime|DateTime|Instant"
)
_FIELD = re.compile(
    rf"^(?:pub |public |private |final |val |var |readonly )*(\w+)\s*\??\s*:\s*({_TYPE})[,;]?(?:\s*=.*)?$"
)
_SETTING = re.compile(r"^(?:- )?[\"']?([\w.-]+)[\"']?\s*[:=]\s*(\S.*)$")
_PARTS = re.compile(r"[;,&\s]+")
_INTERPOLATED = re.compile(r"\{\s*([A-Za-z_][\w.]*)")
_NOISE = frozenset(("f", "var", "let", "const", "final", "new", "self", "this", "return"))
_SHORT_VARIABLES = re.compile(r"^(ctx|err|cancel|_|x|v|res|result|value)$")


def _version_effect(hunk: Hunk, old: str, new: str) -> Effect | None:
    before, after = _VERSION.search(old), _VERSION.search(new)
    if not before or not after:
        return None
    if before.group(1) != after.group(1):
        size, hazard = "major", 0.5
    elif before.group(2) != after.group(2):
        size, hazard = "minor", 0.3
    else:
        size, hazard = "patch", 0.1
    if is_development_tool(new):
        hazard = 0.03
    note = f"{size} version bump from {before.group(0)} to {after.group(0)}"
    effect = _effect(hunk, old, new, "dependency-bumped", hazard, note)
    return replace(effect, families=effect.families | library_families(new))


def _string_effect(hunk: Hunk, old: str, new: str, kept: frozenset[str]) -> Effect:
    before, after = _STRING.findall(old), _STRING.findall(new)
    changed = [(b, a) for b, a in zip(before, after, strict=False) if b != a and b not in kept]
    if not changed:
        return _effect(hunk, old, new, "rewritten", 0.2, "writes a string in another way")
    text_only = hunk.file_class != "config" and all(
        len(b.split()) > 1 and not re.search(r"\b(select|update|insert)\b|\*", b, re.I) for b, _ in changed
    )
    if text_only or re.search(r"version|title|label|message|descri|class_?name|colou?r", old, re.I):
        return _effect(hunk, old, new, "wording", 0.04, "changes wording")
    left, right = changed[0]
    if set(_PARTS.split(left[1:-1])) < set(_PARTS.split(right[1:-1])):
        return _effect(hunk, old, new, "value-extended", 0.3, f"adds to {left}")
    if _is_spelling(left[1:-1], right[1:-1]):
        return _effect(hunk, old, new, "wording", 0.12, f"respells {left}")
    if _CONTRACT.search(old) or re.search(r"[\"'][\w.-]+[\"']", left):
        return _effect(hunk, old, new, "contract-renamed", 0.75, f"replaces {left} by {right}")
    return _effect(hunk, old, new, "value-replaced", 0.6, f"replaces {left} by {right}")


def _token_effects(hunk: Hunk, old: str, new: str, kept: frozenset[str]) -> Iterable[Effect]:
    if re.search(r"select\s+\*", old, re.IGNORECASE) and re.search(r"select\s+\w", new, re.IGNORECASE):
        return [_effect(hunk, old, new, "rewritten", 0.15, "reads fewer columns")]
    before, after = _tokens(old), _tokens(new)
    gone = [t for t in before if t not in after]
    come = [t for t in after if t not in before]
    if not gone and new.startswith("if ") and not old.startswith("if "):
        return [_effect(hunk, old, new, "guard-added", 0.1, "checks what it did not check")]
    if (effect := _reshaped_value(hunk, old, new, gone, come)) is not None:
        return [effect]
    operators = sorted(filter(_OPERATOR.match, before)) != sorted(filter(_OPERATOR.match, after))
    if hunk.file_class == "config" and (gone or come):
        note = f"replaces {gone[0]} by {come[0]}" if gone and come else f"changes {_name_of(new)}"
        return [_effect(hunk, old, new, "value-replaced", 0.6, note)]
    if "await" in gone or ("async" in gone and not DEFINITION.match(old)):
        return [_effect(hunk, old, new, "await-removed", 0.65, "no longer waits for the result")]
    if gone and come and _STRING.search(old) and len(gone) <= 4 and _contract_strings(gone, come, kept):
        return [_effect(hunk, old, new, "contract-renamed", 0.75, f"renames {gone[0]} to {come[0]}")]
    if len(gone) == len(come) == 1 and before[0] == after[0] and re.search(r"[:=]", new) and gone[0][0].isalpha():
        return [_effect(hunk, old, new, "value-replaced", 0.5, f"replaces {gone[0]} by {come[0]}")]
    if gone and not come and any((token[0].isalpha() or token[0] in "\"'`") and token not in _NOISE for token in gone):
        return [_effect(hunk, old, new, "term-dropped", 0.5, f"leaves out {', '.join(gone[:3])}")]
    if operators and len(gone) + len(come) <= 5:
        return [_effect(hunk, old, new, "logic-altered", 0.55, "changes a condition or a formula")]
    return []


def _reshaped_value(hunk: Hunk, old: str, new: str, gone: list[str], come: list[str]) -> Effect | None:
    """A key made of fewer parts, or a value put into another form: a look-up finds nothing now, or too much."""
    names = [token for token in gone if token[0].isalpha() and token not in _NOISE]
    left, brought = (set(_NAME.findall(one)) - set(_NAME.findall(other)) for one, other in ((old, new), (new, old)))
    if names and len(left) > len(brought) and _KEYED.search(old) and _KEYED.search(new):
        effect = _effect(hunk, old, new, "key-narrowed", 0.75, f"leaves {', '.join(names[:3])} out of a key")
        return replace(effect, families=effect.families | {"cache", "absent", "amount", "auth"})
    forms = [token for token in come if _FORM.fullmatch(token)]
    if forms and not names:
        effect = _effect(hunk, old, new, "value-reshaped", 0.55, f"puts a value into another form ({forms[0]})")
        return replace(effect, families=effect.families | {"absent", "cache", "auth", "schema"})
    return None


_NAME = re.compile(r"[A-Za-z_]\w*\b(?!\()")
_KEYED = re.compile(r"cache\w*[.(]|_?key\b|\bkey\w*\(|cache_?key", re.IGNORECASE)
_FORM = re.compile(
    r"(to_?)?(lower|upper)(_?case)?|casefold|trim|strip|normali[sz]e|parameteri[sz]e|slugify|capitali[sz]e|(url_?|html_?)?escape|"
    r"(url_?)?(en|de)code(URIComponent)?",
    re.IGNORECASE,
)


def _is_build_label(line: str) -> bool:
    """A quoted dotted version that a constant named so holds: it names the build, it does not steer it."""
    return bool(re.search(r"version", line, re.I)) and any(_VERSION.search(t) for t in _STRING.findall(line))


def _is_spelling(old: str, new: str) -> bool:
    """Whether two words of the same length (give or take one letter) differ as a misspelling does."""
    if not (old.isalpha() and new.isalpha()) or min(len(old), len(new)) < 6 or abs(len(old) - len(new)) > 1:
        return False
    return SequenceMatcher(None, old.lower(), new.lower(), autojunk=False).ratio() >= 0.85


def _tokens(line: str) -> list[str]:
    """The tokens of a line; a string with interpolated names stands for those names."""
    found: list[str] = []
    for token in _TOKEN.findall(line):
        inside = _INTERPOLATED.findall(token) if token[0] in "\"'`" else []
        found += inside or [token]
    return found


def _contract_strings(gone: list[str], come: list[str], kept: frozenset[str]) -> bool:
    """Whether the difference includes quoted names: what others see of this code (fields, keys, topics)."""
    quoted = [t for t in gone if t[0] in "\"'`" and " " not in t and t not in kept]
    return bool(quoted) and any(t[0] in "\"'`" and " " not in t for t in come)
