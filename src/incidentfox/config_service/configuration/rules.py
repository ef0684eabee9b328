"""Inherits, judges and hashes configuration documents. Pure.

A node's document is a JSON merge patch (RFC 7396) on what it inherits: objects merge by key, everything else
replaces, `null` removes. Only the effective result is judged, since only it is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from incidentfox.config_service.configuration.mcp_servers import judge_mcp_servers
from incidentfox.config_service.configuration.schema import known_keys, nearest
from incidentfox.contracts.configuration import MAX_KNOWLEDGE_CHARACTERS, JsonObject, TeamConfiguration
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import content_hash

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_NO_PLACE = frozenset({"[key]", "[text]", "[secret]"})
"""What a validation error's location says about the schema and not about the document."""

MAX_ERRORS = 50
"""The most field errors that one refusal lists."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2. Neither argument is changed; the result may share unchanged parts with them."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def inherit(documents: Iterable[JsonObject]) -> JsonObject:
    """The raw effective document: each level merged onto what stands above it, topmost first."""
    effective: JsonObject = {}
    for document in documents:
        effective = merge_patch(effective, document)
    return effective


def read_effective(document: JsonObject) -> tuple[TeamConfiguration | None, list[FieldError]]:
    """The effective document as its typed model, or why it is none: unknown keys, wrong types, loose references."""
    try:
        configuration = TeamConfiguration.model_validate_json(_ENCODER.encode(document), strict=True)
    except ValidationError as error:
        return None, [_field_error(found) for found in error.errors(include_url=False, include_input=False)]
    errors = list(_loose_ends(configuration))
    return (None, errors) if errors else (configuration, [])


def effective_json(configuration: TeamConfiguration) -> JsonObject:
    """The effective document as it is hashed, stored and sent: complete, with `$secret` as it is written."""
    return configuration.model_dump(mode="json", by_alias=True)


def effective_hash(configuration: TeamConfiguration) -> str:
    """The content hash that runs keep."""
    return content_hash(effective_json(configuration))


def judge_own(kind: NodeKind, document: JsonObject) -> list[FieldError]:
    """What a node's own document may not say, whatever it comes to."""
    routing = document.get("routing")
    said = set(routing) if isinstance(routing, dict) else set()
    if kind is NodeKind.TEAM and "default_team" in said:
        message = "The default team is the organisation's; set it on the organisation."
        return [FieldError(pointer="/routing/default_team", message=message)]
    if kind is not NodeKind.TEAM and routing is not None and not (kind is NodeKind.ORG and said <= {"default_team"}):
        return [FieldError(pointer="/routing", message="Identifiers belong to a team; set routing on a team node.")]
    return []


def default_team(document: JsonObject) -> str | None:
    """The default team that an organisation's own document names."""
    routing = document.get("routing")
    return routing.get("default_team") if isinstance(routing, dict) else None


def _loose_ends(configuration: TeamConfiguration) -> Iterator[FieldError]:
    agents = configuration.agents
    entrance = agents.get(configuration.entrance_agent)
    if entrance is None:
        yield _unknown("/entrance_agent", "agent", configuration.entrance_agent, agents)
    elif not entrance.enabled:
        yield FieldError(pointer="/entrance_agent", message=f"The agent {configuration.entrance_agent!r} is disabled.")
    for key, agent in agents.items():
        if agent.model not in configuration.models:
            yield _unknown(f"/agents/{key}/model", "model", agent.model, configuration.models)
        for index, tool in enumerate(agent.tools):
            if tool not in configuration.tools:
                yield _unknown(f"/agents/{key}/tools/{index}", "tool", tool, configuration.tools)
        for index, name in enumerate(agent.sub_agents):
            if name not in agents:
                yield _unknown(f"/agents/{key}/sub_agents/{index}", "agent", name, agents)
            elif key in _reachable(configuration, name):
                message = f"{name!r} leads back to {key!r}: agents may not call each other in a circle."
                yield FieldError(pointer=f"/agents/{key}/sub_agents/{index}", message=message)
    yield from _incomplete_settings(configuration)
    yield from _unusable_runbooks(configuration)
    yield from judge_mcp_servers(configuration)


def _incomplete_settings(configuration: TeamConfiguration) -> Iterator[FieldError]:
    runtime, telemetry = configuration.runtime, configuration.integrations.telemetry
    destination = configuration.destinations.slack
    if destination is not None and destination.enabled and not configuration.integrations.slack.enabled:
        message = "Posting to Slack depends on /integrations/slack, which is off: enable it, or disable this."
        yield FieldError(pointer="/destinations/slack", message=message)
    if runtime.mode == "dedicated" and runtime.agent_url is None:
        yield FieldError(pointer="/runtime/agent_url", message="A dedicated runtime needs the URL of its agent.")
    if telemetry.backend == "recording" and telemetry.recording_id is None:
        message = "The backend `recording` needs the id of an uploaded recording."
        yield FieldError(pointer="/integrations/telemetry/recording_id", message=message)
    urls = {
        "/runtime/agent_url": runtime.agent_url,
        "/integrations/slack/base_url": configuration.integrations.slack.base_url,
        "/integrations/telemetry/metrics_url": telemetry.metrics_url,
        "/integrations/telemetry/logs_url": telemetry.logs_url,
        "/integrations/telemetry/traces_url": telemetry.traces_url,
        "/integrations/telemetry/changes_url": telemetry.changes_url,
        **{f"/models/{key}/base_url": model.base_url for key, model in configuration.models.items()},
        **{f"/mcp_servers/{key}/url": server.url for key, server in configuration.mcp_servers.items()},
        **{f"/knowledge/runbooks/{key}/url": one.url for key, one in configuration.knowledge.runbooks.items()},
    }
    for pointer, url in urls.items():
        if url is not None and not url.startswith(("http://", "https://")):
            yield FieldError(pointer=pointer, message="Must be an http:// or https:// URL.")
    for key, model in configuration.models.items():
        yield from _bare_url(f"/models/{key}/base_url", model.base_url, "api_key")
    for key, server in configuration.mcp_servers.items():
        yield from _bare_url(f"/mcp_servers/{key}/url", server.url, "headers")


def _unusable_runbooks(configuration: TeamConfiguration) -> Iterator[FieldError]:
    """What would leave an agent with nothing to read, or with more than is kept with every run."""
    runbooks = configuration.knowledge.runbooks
    total = sum(len(runbook.text) for runbook in runbooks.values())
    if total > MAX_KNOWLEDGE_CHARACTERS:
        message = f"The texts of all runbooks have {total} characters, more than {MAX_KNOWLEDGE_CHARACTERS}."
        yield FieldError(pointer="/knowledge/runbooks", message=message)
    for key, runbook in runbooks.items():
        for field in ("title", "text"):
            if runbook.enabled and not getattr(runbook, field).strip():
                message = f"A runbook needs a {field}: write one, or switch the runbook off."
                yield FieldError(pointer=f"/knowledge/runbooks/{key}/{field}", message=message)


def _bare_url(pointer: str, url: str | None, credential: str) -> Iterator[FieldError]:
    """A URL is kept and shown in the clear, so it holds no credential, which may stand in a query as well. The paths of
    an API are added to a base URL, so it ends there."""
    try:
        parts = urlsplit(url or "http://none")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None:
        yield FieldError(pointer=pointer, message="Must be a URL with a host.")
    elif parts.username is not None or parts.password is not None:
        yield FieldError(pointer=pointer, message=f"A URL holds no credential: refer to a secret in `{credential}`.")
    elif parts.query or parts.fragment:
        yield FieldError(pointer=pointer, message="This URL has neither a query nor a fragment.")


def _reachable(configuration: TeamConfiguration, start: str) -> set[str]:
    seen: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name not in seen and name in configuration.agents:
            seen.add(name)
            pending.extend(configuration.agents[name].sub_agents)
    return seen


def _unknown(pointer: str, noun: str, name: str, known: Mapping[str, object]) -> FieldError:
    return FieldError(pointer=pointer, message=f"There is no {noun} {name!r}.{nearest(name, known)}")


def _field_error(error: Any) -> FieldError:
    location = tuple(part for part in error["loc"] if part not in _NO_PLACE)
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location) or "/"
    if error["type"] != "extra_forbidden":
        return FieldError(pointer=pointer, message=error["msg"])
    known = known_keys(location[:-1])
    near = nearest(str(location[-1]), known)
    return FieldError(pointer=pointer, message="Unknown key." + (near or f" Known here: {', '.join(known)}."))
