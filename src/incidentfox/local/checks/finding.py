"""One result of a check, with what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class State(StrEnum):
    """How bad it is. Only `failed` makes the doctor's exit code 1; a `note` is how things are, and may be meant."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


class Finding(BaseModel):
    """What was looked at, what was found, and the remedy where it is not ok."""

    model_config = ConfigDict(frozen=True)

    part: Literal["machine", "home", "database", "services", "teams"]
    check: str
    state: State
    found: str
    remedy: str | None = None
