"""Prefixed, sortable ids: `run_01jd…`, a kind and 26 characters that sort by time of creation.

Format: ULID (48-bit Unix milliseconds, 80 random bits) in lower-case Crockford base 32; see github.com/ulid/spec.
The prefix makes an id recognisable in a log line and keeps one kind from being passed for another.
"""

from __future__ import annotations

import os
import re
import time

from incidentfox.kernel.errors import Invalid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PATTERN = re.compile(rf"^([a-z]{{2,5}})_[{_ALPHABET}]{{26}}$")


def new_id(prefix: str) -> str:
    """A new id of the kind `prefix` (run, dlv, inc, whe, whs, tok, evt, aud)."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return f"{prefix}_{_encode(number)}"


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` is a well-formed id of this kind."""
    match = _PATTERN.fullmatch(value)
    return match is not None and match.group(1) == prefix


def require_id(value: str, prefix: str) -> str:
    """`value` if it is a well-formed id of this kind; Invalid otherwise."""
    if not is_id(value, prefix):
        raise Invalid(f"{value!r} is not an id of the form {prefix}_….", code="invalid_id")
    return value


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
