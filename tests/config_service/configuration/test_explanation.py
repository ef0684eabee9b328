"""Explain agrees with effective, whatever the tree: each leaf has the origin that really decides it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.config_service.surroundings import Service, Tenants

from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS
from incidentfox.config_service.configuration.explanation import explain
from incidentfox.config_service.configuration.levels import Level
from incidentfox.config_service.configuration.pointers import ABSENT, find, leaves, split
from incidentfox.config_service.configuration.rules import inherit
from incidentfox.contracts.explanation import ExplainedConfiguration, ExplainedValue
from incidentfox.contracts.tree import NodeKind

keys = st.sampled_from(["a", "b", "c/d"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.lists(st.integers(0, 3), max_size=2)
values = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
paths = st.lists(st.dictionaries(keys, values, max_size=3), min_size=1, max_size=5)
property_test = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def levels_of(documents: list[dict[str, Any]]) -> list[Level]:
    return [Level(f"n{number}", None, NodeKind.UNIT, number + 1, document) for number, document in enumerate(documents)]


def rebuilt(explained: tuple[ExplainedValue, ...]) -> Any:
    document: dict[str, Any] = {}
    for value in explained:
        place, tokens = document, split(value.pointer)
        for token in tokens[:-1]:
            place = place.setdefault(token, {})
        place[tokens[-1]] = value.value
    return document


def changed_at(document: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    head, rest = place[0], place[1:]
    below = document.get(head)
    return {**document, head: changed_at(below if isinstance(below, dict) else {}, rest, value) if rest else value}


@property_test
@given(paths)
def test_the_explained_values_are_the_effective_document(documents: list[dict[str, Any]]) -> None:
    effective = inherit(documents)
    explained = explain(levels_of(documents), effective, ())
    assert [value.pointer for value in explained] == [
        "".join("/" + token.replace("/", "~1") for token in place) for place, _ in leaves(effective)
    ]
    if effective:
        assert rebuilt(explained) == effective


@property_test
@given(paths)
def test_the_named_level_decides_and_no_level_below_it_does(documents: list[dict[str, Any]]) -> None:
    effective = inherit(documents)
    for value in explain(levels_of(documents), effective, ()) if effective else ():
        place, number = split(value.pointer), value.set_by.version - 1
        for end in range(number + 1, len(documents) + 1):
            assert find(inherit(documents[:end]), place) == value.value
        if isinstance(value.value, dict):
            continue  # an empty object merges, so no single level decides what it holds
        elsewhere = [*documents[:number], changed_at(documents[number], place, "mine"), *documents[number + 1 :]]
        assert find(inherit(elsewhere), place) == "mine"
        for level in range(number):
            other = [*documents[:level], changed_at(documents[level], place, "other"), *documents[level + 1 :]]
            assert find(inherit(other), place) == value.value


@property_test
@given(paths)
def test_what_was_overridden_is_what_the_levels_above_came_to(documents: list[dict[str, Any]]) -> None:
    effective = inherit(documents)
    for value in explain(levels_of(documents), effective, ()) if effective else ():
        order = [value.set_by.version, *(step.set_by.version for step in value.overrode)]
        assert order == sorted(order, reverse=True)
        assert len(set(order)) == len(order)
        for step in value.overrode:
            found = find(inherit(documents[: step.set_by.version]), split(value.pointer))
            assert step.present == (found is not ABSENT)
            assert step.value == (found if step.present else None)


def test_what_nobody_set_is_the_schemas_and_a_removal_names_who_removed() -> None:
    documents: list[dict[str, Any]] = [{"budgets": {"run_tokens": 5}}, {"budgets": {"run_tokens": None}}]
    completed = {"budgets": {"run_tokens": None, "day_tokens": None}}
    removed, untouched = explain(levels_of(documents), completed, ())
    assert (removed.set_by.node_id, removed.removed, removed.overrode[0].value) == ("n1", True, 5)
    assert (untouched.set_by.node_id, untouched.removed, untouched.overrode) == ("platform:schema", False, ())


def test_who_removed_the_last_key_of_an_object_emptied_it() -> None:
    documents: list[dict[str, Any]] = [{"tools": {"a": {}}}, {"tools": {"a": None}}, {"tools": {}}]
    [emptied] = explain(levels_of(documents), {"tools": {}}, ())
    assert (emptied.set_by.node_id, emptied.value, emptied.overrode[0].value) == ("n1", {}, {"a": {}})


def explained_at(explained: ExplainedConfiguration, pointer: str) -> ExplainedValue:
    return next(value for value in explained.values if value.pointer == pointer)


@pytest.mark.anyio
async def test_the_service_names_node_version_author_and_time(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, tenants.org, {"budgets": {"run_tokens": 10}})
    await admin.put_configuration(tenants.org, "shops", {"budgets": {"run_tokens": 7}})
    written = await admin.patch_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": 5}})
    explained = await admin.explained(tenants.org, "checkout")
    value = explained_at(explained, "/budgets/run_tokens")
    assert (value.value, value.set_by.node_id, value.set_by.version) == (5, "checkout", 1)
    assert (value.set_by.by, value.set_by.at) == (written.created_by, written.created_at)
    assert [(step.value, step.set_by.node_id) for step in value.overrode] == [(7, "shops"), (10, tenants.org)]
    assert explained_at(explained, "/entrance_agent").set_by.node_id == "platform:defaults"
    assert explained_at(explained, "/runtime/mode").set_by.node_id == "platform:schema"
    effective = await admin.effective(tenants.org, "checkout")
    assert (explained.hash, explained.document) == (effective.hash, effective.document)
    assert rebuilt(explained.values) == effective.document.model_dump(mode="json", by_alias=True)
    assert len(explained.document.agents) == len(PLATFORM_DEFAULTS["agents"])
