"""Errors on the wire: RFC 9457 problem+json with a stable `code`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One invalid field: where it is (JSON Pointer, RFC 6901) and what to do about it."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    message: str


class Problem(BaseModel):
    """A failed request. `code` never changes its meaning; `detail` is for people and says what to do next."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="A URI reference that names the kind of problem; ends in `code`.")
    title: str
    status: int
    code: str
    detail: str
    correlation_id: str | None = None
    errors: tuple[FieldError, ...] = ()
