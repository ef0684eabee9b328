"""An answer that is ready to be sent: made once, kept in a cache, sent many times."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Response
from pydantic import BaseModel

_OVERHEAD = 500
"""Bytes that keeping an answer takes beside the answer itself, roughly."""


@dataclass(frozen=True)
class Prepared:
    """A JSON body and its ETag, where it has one."""

    body: bytes
    etag: str | None = None
    status: int = 200

    def response(self) -> Response:
        """The answer."""
        headers = {"ETag": self.etag} if self.etag is not None else None
        return Response(self.body, self.status, media_type="application/json", headers=headers)

    def weight(self) -> int:
        """The bytes that it takes to keep this."""
        return len(self.body) + _OVERHEAD


def prepare(model: BaseModel, etag: str | None = None, status: int = 200) -> Prepared:
    """The answer that says this, in the very bytes that FastAPI would send."""
    return Prepared(model.model_dump_json(by_alias=True).encode(), etag, status)
