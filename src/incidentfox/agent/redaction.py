"""Takes secrets out of whatever came from outside, at one point: before model, timeline, checkpoint or log.

No switch turns it off. Applied to tool results and to the run's input (`policy.py`, `workflow.py`). It errs on the
side of hiding: a shape that is only ever a credential is replaced wherever it stands, a value is replaced where its
name says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_SECRET_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret(?:[_-]?key)?|api[_-]?key|apikey|access[_-]?key|auth[_-]?token"
    r"|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|credentials?|token|authorization"
)
_SECRET_KEY = re.compile(rf"^(?:[a-z0-9]+[_.-])*(?:{_SECRET_NAMES})$", re.IGNORECASE)

Replacement = str | Callable[[re.Match[str]], str]

# Most specific first. Shapes are the issuers' documented ones; the last rules go by the name before the value.
_RULES: tuple[tuple[re.Pattern[str], Replacement], ...] = (
    (
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)", re.S
        ),
        "[redacted:private-key]",
    ),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{22,}"), "[redacted:github-token]"),
    (re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"), "[redacted:gitlab-token]"),
    (re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}"), "[redacted:slack-token]"),
    (re.compile(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+"), "[redacted:slack-hook]"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), "[redacted:aws-key]"),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{35}"), "[redacted:google-key]"),
    (re.compile(r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{16,}"), "[redacted:api-key]"),
    (re.compile(r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}"), "[redacted:api-key]"),
    (re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40,}|SG\.[\w-]{16,}\.[\w-]{16,})"), "[redacted:api-key]"),
    (re.compile(r"\bif[a-z]{1,4}_[A-Za-z0-9_-]{43}[0-9a-f]{6}\b"), "[redacted:token]"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), "[redacted:jwt]"),
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s:/@\"']*:[^\s/@\"']+@", re.IGNORECASE), r"\1[redacted:credentials]@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE), r"\1 [redacted:credentials]"),
    (
        re.compile(
            rf"(?<![A-Za-z])((?:[A-Za-z0-9]+[_.-])*(?:{_SECRET_NAMES}))(\"?'?\s*(?:=|:|=>)\s*\"?'?)"
            r"(?!\[redacted)([^\s\"',;&)}\]]{4,})",
            re.IGNORECASE,
        ),
        lambda match: f"{match[1]}{match[2]}{_hidden(match[3])}",
    ),
)
# A name before a call, a variable or a type is code, not a value: diffs must stay readable.
_CODE = re.compile(
    r"^(?:[A-Za-z_][\w.]*\(|\$\{?\w|os\.|process\.|env\b|None\b|null\b|nil\b|true\b|false\b|str\b|string\b)"
)


def redact(value: Any) -> Any:
    """The JSON-able value with every secret replaced by `[redacted:kind]`. Numbers and booleans stay."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            _storable(key): "[redacted:value]"
            if isinstance(item, str) and item and _SECRET_KEY.match(key)
            else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def redact_text(text: str) -> str:
    """The text with every secret replaced by `[redacted:kind]`, and without what no database stores."""
    text = _storable(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _storable(text: str) -> str:
    """NUL and lone surrogates, which logs may hold and Postgres does not, become the replacement character."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _hidden(value: str) -> str:
    return value if _CODE.match(value) else "[redacted:value]"
