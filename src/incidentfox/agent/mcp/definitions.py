"""What a model is told about a tool of an MCP server. Pure.

A server's words are outside text, like what its tools return. In a tool's definition a model reads everything as the
platform's own words, so none of the server's stand there bare: the schema is reduced to what a call must look like, and
descriptions go into a fence.
"""

from __future__ import annotations

import json
import re
from typing import Any

from incidentfox.agent.fences import fence

MAX_DEFINITION_BYTES = 16 * 1024
MAX_DESCRIPTION = 2000
MAX_NOTE = 400
MAX_DEPTH = 8

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_WORD = re.compile(r"[\w.:/@+-]{0,64}")
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_NUMBERS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"minItems", "maxItems", "minProperties", "maxProperties"}
)
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_REFERENCE = "#/$defs/"


class UnusableDefinition(ValueError):
    """A definition that no model is shown; the words say why."""


def reduced(input_schema: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The schema of a tool's arguments without a server's words, and these words by the place that they are about.

    Raises UnusableDefinition for what is no schema of an object, too large, or names an argument in free text.
    """
    if not isinstance(input_schema, dict) or input_schema.get("type") != "object":
        raise UnusableDefinition("its arguments are no object")
    if len(json.dumps(input_schema, ensure_ascii=False).encode()) > MAX_DEFINITION_BYTES:
        raise UnusableDefinition(f"its definition is larger than {MAX_DEFINITION_BYTES} bytes")
    notes: dict[str, str] = {}
    return {"properties": {}, **_reduced(input_schema, "", notes, 0)}, notes


def described(server: str, description: str, notes: dict[str, str], nonce: str) -> str:
    """The description that a model reads: the platform's words, and the server's in a fence."""
    told = {"description": description, **({"arguments": notes} if notes else {})}
    words = fence(json.dumps(told, ensure_ascii=False), source=f"mcp:{server}", nonce=nonce)
    return f"Reads from the team's MCP server {server!r}. What that server says about it:\n{words}"


def _reduced(schema: Any, place: str, notes: dict[str, str], depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict):
        return {}
    if depth > MAX_DEPTH:
        raise UnusableDefinition(f"its arguments are nested deeper than {MAX_DEPTH} levels")
    if isinstance(schema.get("description"), str) and schema["description"].strip():
        notes[place or "."] = schema["description"].strip()[:MAX_NOTE]
    kept: dict[str, Any] = {}
    if (kind := _type(schema.get("type"))) is not None:
        kept["type"] = kind
    kept |= {key: schema[key] for key in _NUMBERS & schema.keys() if _is_number(schema[key])}
    _keep_values(schema, place, notes, kept)
    properties = _by_name(schema.get("properties"), place, notes, depth)
    if properties:
        kept["properties"] = properties
    if isinstance(schema.get("required"), list):
        kept["required"] = [name for name in schema["required"] if isinstance(name, str) and name in properties]
    if isinstance(schema.get("additionalProperties"), bool):
        kept["additionalProperties"] = schema["additionalProperties"]
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = _reduced(schema["additionalProperties"], f"{place}.*", notes, depth + 1)
    if isinstance(schema.get("items"), dict):
        kept["items"] = _reduced(schema["items"], f"{place}[]", notes, depth + 1)
    for key in _ALTERNATIVES:
        if isinstance(schema.get(key), list) and schema[key]:
            kept[key] = [_reduced(one, place, notes, depth + 1) for one in schema[key]]
    if definitions := _by_name(schema.get("$defs"), "$defs", notes, depth):
        kept["$defs"] = definitions
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_REFERENCE):
        kept["$ref"] = _REFERENCE + _named(reference.removeprefix(_REFERENCE))
    return kept


def _by_name(schemas: Any, place: str, notes: dict[str, str], depth: int) -> dict[str, Any]:
    if not isinstance(schemas, dict):
        return {}
    prefix = f"{place}." if place else ""
    return {
        _named(name): _reduced(schema, f"{prefix}{name}", notes, depth + 1)
        for name, schema in schemas.items()
        if isinstance(name, str)
    }


def _keep_values(schema: dict[str, Any], place: str, notes: dict[str, str], kept: dict[str, Any]) -> None:
    """The values that an argument may have: in the schema where each is a word, else among the server's words."""
    values = schema["enum"] if isinstance(schema.get("enum"), list) else []
    values = [*values, schema["const"]] if "const" in schema else values
    if values and all(_is_plain(value) for value in values):
        kept["enum"] = values
    elif values:
        note = f"one of {json.dumps(values, ensure_ascii=False)}"[:MAX_NOTE]
        notes[place or "."] = f"{notes[place or '.']} ({note})" if (place or ".") in notes else note


def _named(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise UnusableDefinition("the name of an argument is no plain word")
    return name


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str) and one in _TYPES] or None
    return value if isinstance(value, str) and value in _TYPES else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and _WORD.fullmatch(value) is not None)
    )
