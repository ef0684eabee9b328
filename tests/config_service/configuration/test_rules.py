"""Inheriting and judging documents: properties of the merge, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS
from incidentfox.config_service.configuration.rules import (
    effective_hash,
    effective_json,
    inherit,
    judge_own,
    merge_patch,
    read_effective,
)
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import content_hash

keys = st.sampled_from(["a", "b", "c"])
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
values = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)
documents = st.dictionaries(keys, values, max_size=3)


set_leaves = st.integers(-3, 3) | st.lists(st.integers(0, 3), max_size=2)
inner = st.fixed_dictionaries({}, optional={"x": set_leaves, "y": set_leaves})
shaped = st.fixed_dictionaries({}, optional={"leaf": set_leaves, "object": inner, "other": inner})


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_merge_is_that_of_rfc_7396_appendix_a(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(documents, documents)
def test_merging_changes_neither_argument_and_twice_is_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = (repr(target), repr(patch))
    once = merge_patch(target, patch)
    assert (repr(target), repr(patch)) == before
    assert merge_patch(once, patch) == once


@given(documents, documents, documents)
def test_inheriting_level_by_level_is_inheriting_at_once(
    org: dict[str, Any], unit: dict[str, Any], team: dict[str, Any]
) -> None:
    assert inherit([inherit([org, unit]), team]) == inherit([org, unit, team])
    assert inherit([inherit([org]), unit, team]) == inherit([org, unit, team])


@given(shaped, shaped, shaped)
def test_without_removals_the_merge_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    """As the schema has it: what is an object at one level is an object at all."""
    assert merge_patch(merge_patch(a, b), c) == merge_patch(a, merge_patch(b, c))


@given(documents, documents)
def test_what_a_level_sets_holds_and_what_it_removes_is_gone(above: dict[str, Any], own: dict[str, Any]) -> None:
    effective = inherit([above, own])
    for key, value in own.items():
        if value is None:
            assert key not in effective
        elif not isinstance(value, dict):
            assert effective[key] == value
    for key in set(above) - set(own):
        assert effective.get(key) == merge_patch({}, {key: above[key]}).get(key)


def test_the_platform_defaults_are_a_whole_configuration() -> None:
    configuration, errors = read_effective(PLATFORM_DEFAULTS)
    assert errors == []
    assert configuration is not None
    assert set(configuration.agents["investigator"].tools) == set(configuration.tools)
    assert configuration.models["default"].provider == "offline"


def test_the_hash_is_that_of_the_document_as_it_is_sent() -> None:
    patch = {"integrations": {"telemetry": {"database_url": {"$secret": "db"}}}, "budgets": {"run_usd": 5}}
    configuration, _ = read_effective(inherit([PLATFORM_DEFAULTS, patch]))
    assert configuration is not None
    sent = effective_json(configuration)
    assert sent["integrations"]["telemetry"]["database_url"] == {"$secret": "db"}
    assert effective_hash(configuration) == content_hash(sent)
    assert effective_hash(TeamConfiguration.model_validate(sent)) == effective_hash(configuration)


@pytest.mark.parametrize(
    ("patch", "pointer", "words"),
    [
        ({"agnets": {}}, "/agnets", "Did you mean 'agents'?"),
        ({"agents": {"investigator": {"promt": {}}}}, "/agents/investigator/promt", "Did you mean 'prompt'?"),
        ({"destinations": {"slack": {"chanel": "x"}}}, "/destinations/slack/chanel", "Did you mean 'channel'?"),
        ({"zzz": 1}, "/zzz", "Known here: agents, budgets"),
        ({"a/b~c": 1}, "/a~1b~0c", "Unknown key"),
        ({"budgets": {"run_tokens": "5"}}, "/budgets/run_tokens", "valid integer"),
        ({"budgets": {"run_tokens": 0}}, "/budgets/run_tokens", "greater than or equal to 1"),
        ({"agents": {"Bad": {}}}, "/agents/Bad", "pattern"),
        ({"entrance_agent": "investigater"}, "/entrance_agent", "Did you mean 'investigator'?"),
        ({"entrance_agent": None}, "/entrance_agent", "required"),
        ({"agents": {"investigator": {"enabled": False}}}, "/entrance_agent", "disabled"),
        ({"agents": {"investigator": {"model": "big"}}}, "/agents/investigator/model", "no model 'big'"),
        (
            {"agents": {"investigator": {"tools": ["search_log"]}}},
            "/agents/investigator/tools/0",
            "Did you mean 'search_logs'?",
        ),
        ({"tools": {"search_logs": None}}, "/agents/investigator/tools/3", "no tool 'search_logs'"),
        ({"agents": {"investigator": {"sub_agents": ["x"]}}}, "/agents/investigator/sub_agents/0", "no agent 'x'"),
        (
            {"agents": {"investigator": {"sub_agents": ["b"]}, "b": {"sub_agents": ["investigator"]}}},
            "/agents/investigator/sub_agents/0",
            "circle",
        ),
        ({"runtime": {"mode": "dedicated"}}, "/runtime/agent_url", "needs the URL"),
        ({"runtime": {"agent_url": "file:///etc/passwd"}}, "/runtime/agent_url", "http"),
        ({"integrations": {"telemetry": {"backend": "recording"}}}, "/integrations/telemetry/recording_id", "needs"),
        ({"integrations": {"slack": {"bot_token": "xoxb"}}}, "/integrations/slack/bot_token", "object"),
    ],
)
def test_a_refusal_names_the_place_and_the_remedy(patch: dict[str, Any], pointer: str, words: str) -> None:
    configuration, errors = read_effective(inherit([PLATFORM_DEFAULTS, patch]))
    assert configuration is None
    assert any(error.pointer == pointer and words in error.message for error in errors), errors


def test_only_a_team_sets_routing() -> None:
    document = {"routing": {"services": ["a"]}}
    assert judge_own(NodeKind.TEAM, document) == []
    assert [error.pointer for error in judge_own(NodeKind.UNIT, document)] == ["/routing"]
    assert judge_own(NodeKind.ORG, {"routing": None}) == []
