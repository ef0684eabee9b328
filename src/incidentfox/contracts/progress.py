"""How far long work is, and how it ended: the events of an answer that somebody watches."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from incidentfox.contracts.model import WireModel


class ProgressEvent(StrEnum):
    """The events, in the order in which they come. The last one is a result or a problem, never both."""

    PROGRESS = "progress"
    RESULT = "result"
    PROBLEM = "problem"


class Progress(WireModel):
    """How many of the teams that a change concerns have been judged so far."""

    judged: int = Field(ge=0)
    teams: int = Field(ge=0)


class Result(WireModel):
    """What the plain answer would have been: its status, its `ETag` and its body. What it tells is committed."""

    status: int
    etag: str | None = None
    body: Any = None
