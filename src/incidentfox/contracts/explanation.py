"""Configuration that explains itself: who set what, what it was before, what a write would do to whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from incidentfox.contracts.configuration import EffectiveConfiguration, JsonObject
from incidentfox.contracts.governance import PolicyInForce
from incidentfox.contracts.model import NodeId, OrgId, WireModel
from incidentfox.contracts.problem import FieldError


class SetBy(WireModel):
    """The write that set a value. `platform:defaults` and `platform:schema` are levels of the release, not nodes."""

    node_id: str
    version: int
    at: datetime | None = None
    by: str | None = None
    change_request_id: str | None = None


class OverriddenValue(WireModel):
    """What a level above had come to, before a level below said something else. `present` False: nothing."""

    value: Any = None
    present: bool
    set_by: SetBy


class ExplainedValue(WireModel):
    """One leaf of an effective document: anything that is no object, or an empty one."""

    pointer: str
    value: Any = None
    set_by: SetBy
    removed: bool = Field(default=False, description="The level removed what it inherited; the schema's default holds.")
    overrode: tuple[OverriddenValue, ...] = Field(default=(), description="Nearest level first.")
    policies: tuple[PolicyInForce, ...] = Field(default=(), description="Those that judge this value, topmost first.")


class ExplainedConfiguration(EffectiveConfiguration):
    """The effective configuration with the origin of each of its values."""

    values: tuple[ExplainedValue, ...]


class VersionSummary(WireModel):
    """One version of a node's own document, without the document."""

    org_id: OrgId
    node_id: NodeId
    version: int
    hash: str
    created_at: datetime
    created_by: str
    change_request_id: str | None = None


class ValueChange(WireModel):
    """One difference between two documents, at the highest place where they differ."""

    pointer: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


class VersionDiff(WireModel):
    """What changed between two versions of a node's own document."""

    org_id: OrgId
    node_id: NodeId
    from_version: int
    to_version: int
    changes: tuple[ValueChange, ...]


class Rollback(WireModel):
    """Writes the document of an earlier version again, as a new version. Version 0 is the empty document."""

    version: int = Field(ge=0, le=2_147_483_647)


class EffectiveDocument(WireModel):
    """An effective document as it was kept, whatever the schema is by now."""

    org_id: OrgId
    team_node_id: NodeId
    hash: str
    created_at: datetime
    document: JsonObject


class Refusal(WireModel):
    """Why a write would be refused: what the problem would say."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()


class EffectOnTeam(WireModel):
    """What a write would change in one team's effective document."""

    team_node_id: NodeId
    changes: tuple[ValueChange, ...]


class WritePreview(WireModel):
    """What a write would do (`dry_run=true`). Nothing was written."""

    org_id: OrgId
    node_id: NodeId
    refusals: tuple[Refusal, ...] = Field(description="Empty: the write would be accepted.")
    changes: tuple[ValueChange, ...] = Field(default=(), description="In the node's own document.")
    affected_teams: int = Field(default=0, description="Teams whose effective document would change.")
    teams: tuple[EffectOnTeam, ...] = Field(default=(), description="The first 200 of them.")
