"""The schema of configuration: what is known at a place of the document, and the form that is published. Pure."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from incidentfox.config_service.configuration.levels import POLICIES
from incidentfox.config_service.configuration.pointers import ANY_KEY, Tokens
from incidentfox.contracts.configuration import JsonObject, TeamConfiguration
from incidentfox.contracts.governance import Policy, PolicyPath

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def document_schema() -> JsonObject:
    """JSON Schema of a node's own document: every key is optional, `null` removes, and `policies` may be declared."""
    schema = _partial(copy.deepcopy(_effective()))
    policies = TypeAdapter(dict[PolicyPath, Policy]).json_schema(by_alias=True)
    schema["$defs"] |= policies.pop("$defs")
    schema["properties"][POLICIES] = {"anyOf": [policies, {"type": "null"}]}
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Configuration of a node",
        "description": "Objects merge with what the node inherits, everything else replaces it, null removes it.",
    }


def known_keys(location: Iterable[Any]) -> list[str]:
    """The keys that the schema knows at a place of the effective document."""
    schema = _resolved(_effective())
    for part in location:
        schema = _resolved(schema.get("properties", {}).get(part) or _map_values(schema) or {})
    return sorted(schema.get("properties", {}))


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name nearest to this one; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def type_at(path: Tokens) -> str | None:
    """The JSON type at a place of the effective document (of the items, where it is a list).

    Raises LookupError, in words for people, for a place that no document can have.
    """
    schema = _resolved(_effective())
    for token in path:
        known = schema.get("properties", {})
        values = _map_values(schema)
        if token in known:
            schema = _resolved(known[token])
        elif values is not None:
            schema = _resolved(values)
        elif token == ANY_KEY:
            raise LookupError("`*` stands for the keys of a map, and there is none here.")
        else:
            raise LookupError(f"There is no {token!r} here.{nearest(token, known) or _listed(known)}")
    found = _resolved(schema["items"]).get("type") if schema.get("type") == "array" else schema.get("type")
    return str(found) if found is not None else None


def _listed(known: Iterable[str]) -> str:
    return f" Known here: {', '.join(sorted(known))}." if known else ""


@cache
def _effective() -> JsonObject:
    return TeamConfiguration.model_json_schema(by_alias=True)


def _map_values(schema: JsonObject) -> JsonObject | None:
    """The schema of a map's values; None for anything that is no map."""
    values = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
    return values if isinstance(values, dict) else None


def _resolved(schema: JsonObject) -> JsonObject:
    if "$ref" in schema:
        return _resolved(_effective()["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    choices = [one for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if one.get("type") != "null"]
    # Of text or an object, it is the object that something is known about.
    chosen = next((one for one in choices if "$ref" in one), choices[0] if choices else None)
    return _resolved(chosen) if chosen is not None else schema


def _partial(schema: Any) -> Any:
    """The same schema for a merge patch: nothing is required, nothing has a default, everything may be null."""
    if isinstance(schema, list):
        return [_partial(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _partial(value) for key, value in schema.items() if key not in ("required", "default")}
    for keyword in ("properties", "patternProperties"):
        if isinstance(found.get(keyword), dict):
            found[keyword] = {key: {"anyOf": [value, {"type": "null"}]} for key, value in found[keyword].items()}
    return found
