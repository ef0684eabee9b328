"""Pure rules of the door: what of an outside text is kept, which queue partition an event waits in."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

from incidentfox.contracts.routing import Identifier, IdentifierKind
from incidentfox.kernel.errors import Invalid

MAX_TITLE = 500
MAX_TEXT = 8000
MAX_KEY = 255
MAX_IDENTIFIERS = 64

_PRECEDENCE = {kind: rank for rank, kind in enumerate(IdentifierKind)}
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
YEARS = range(1970, 2200)
"""An event of another year is nonsense, and the ends of the calendar overflow."""


def clean_text(value: object, limit: int) -> str:
    """Text from outside as Postgres can keep it: without NUL and lone surrogates, and no longer than `limit`."""
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "")[:limit].strip()


def require_key(value: object, what: str) -> str:
    """An id that the sender chose, if it can serve as a key: 1 to 255 printable ASCII characters without spaces."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise malformed(f"{what} must be 1 to {MAX_KEY} printable ASCII characters without spaces.")
    return value


def parse_time(value: object) -> datetime | None:
    """An ISO 8601 time as aware UTC, or None for anything else and for years that no incident has."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.year not in YEARS:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_number(value: object) -> float | None:
    """A finite number, also when it was sent as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; Invalid with the code `malformed_body` for anything else."""
    try:
        document = _JSON.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise malformed("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise malformed("The body must be a JSON object.")
    return document


def malformed(detail: str) -> Invalid:
    """The refusal of a body that was signed, but does not have the documented form."""
    return Invalid(detail, code="malformed_body")


def distinct(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """Each identifier once, most specific kind first, at most as many as one look-up takes."""
    # Keyed by plain values: hashing the models themselves would cost more than all of the parsing.
    found = {(identifier.kind, identifier.name, identifier.value): identifier for identifier in identifiers}
    return tuple(sorted(found.values(), key=lambda identifier: _PRECEDENCE[identifier.kind]))[:MAX_IDENTIFIERS]


def partition_key(org_id: str, endpoint_id: str, identifiers: tuple[Identifier, ...]) -> str:
    """The queue partition of an event: its tenant and the most specific thing that it is about.

    The team is not known until the Config Service is asked, and that must not happen before the 202. The most specific
    identifier stands for it: whoever floods one service waits behind himself, other services take their turns.
    """
    first = identifiers[0] if identifiers else None
    about = [first.kind, first.name or "", first.value.casefold()] if first else ["endpoint", endpoint_id]
    return f"{org_id}/{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)
