"""`If-Match` on writes to the tree: who has seen an older version is told so, instead of undoing what came since."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Query

from incidentfox.kernel.errors import Invalid, PreconditionFailed

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The version(s) that the writer has seen, as the ETag gave it."),
]
DryRun = Annotated[bool, Query(description="Answer what the write would do, and write nothing.")]

_TAGS = re.compile(r'^\s*"(\d{1,9})"\s*(,\s*"(\d{1,9})"\s*)*$')


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """The versions that an `If-Match` names (RFC 9110, section 13.1.1); None for none and for `*`."""
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.match(if_match):
        raise Invalid('`If-Match` must be an ETag of this configuration, e.g. "3".', code="invalid_if_match")
    return frozenset(int(tag) for tag in re.findall(r"\d+", if_match))


def require_version(what: str, version: int, if_match: frozenset[int] | None) -> None:
    """Raises PreconditionFailed when `if_match` names other versions than this one."""
    if if_match is not None and version not in if_match:
        raise PreconditionFailed(
            f"{what} is at version {version} by now. Read it and apply your change again.", code="version_conflict"
        )
