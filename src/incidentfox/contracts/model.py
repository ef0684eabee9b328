"""The one base of all wire models: strict about unknown fields, immutable, UTC times."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class WireModel(BaseModel):
    """A closed, frozen model. An unknown field is an error that names the field: silence would hide a typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OrgId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An organisation's id: chosen by the customer, a DNS label (RFC 1123)."""

NodeId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A tree node's id within its organisation: chosen by the customer, a DNS label (RFC 1123)."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
"""A name for people."""
