"""Versions, differences between them, rollback, and configuration as of a moment."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.config_service.surroundings import Service, Tenants

from incidentfox.config_service.configuration.differences import differences, same
from incidentfox.config_service.configuration.pointers import split
from incidentfox.contracts.explanation import ValueChange
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.crypto import canonical_json, content_hash
from incidentfox.kernel.errors import Forbidden, Invalid, NotFound, PreconditionFailed, Unprocessable

keys = st.sampled_from(["a", "b", "c/~d"])
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, "x"]) | st.lists(st.integers(0, 1))
values = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
documents = st.dictionaries(keys, values, max_size=3)
property_test = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def applied(document: dict[str, Any], changes: list[ValueChange]) -> dict[str, Any]:
    """The document with the differences made: what a difference promises."""
    document = json.loads(json.dumps(document))
    for change in changes:
        place: Any = document
        *above, last = split(change.pointer)
        for token in above:
            place = place[token]
        if change.kind == "removed":
            assert same(place.pop(last), change.before)
        else:
            assert (last in place) == (change.kind == "changed")
            place[last] = change.after
    return document


@property_test
@given(documents, documents)
def test_the_differences_lead_from_one_document_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    changes = list(differences(before, after))
    assert canonical_json(applied(before, changes)) == canonical_json(after)
    assert bool(changes) == (canonical_json(before) != canonical_json(after))


def test_true_is_not_one_and_one_is_not_one_point_nought() -> None:
    assert [
        change.pointer for change in differences({"a": 1, "b": True, "c": [1]}, {"a": True, "b": 1, "c": [1.0]})
    ] == [
        "/a",
        "/b",
        "/c",
    ]


budgets = st.dictionaries(st.sampled_from(["run_tokens", "day_tokens"]), st.none() | st.integers(1, 9), max_size=2)
histories = st.lists(
    st.fixed_dictionaries({}, optional={"budgets": budgets, "agents": st.just({"b": {"description": "b"}})}),
    min_size=1,
    max_size=4,
)


@pytest.mark.anyio
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories)
async def test_a_rollback_restores_the_exact_document(
    service: Service, tenants: Tenants, history: list[dict[str, Any]]
) -> None:
    admin, team = service.with_token(tenants.admin), f"rolled-{secrets.token_hex(6)}"
    await admin.create_node(tenants.org, CreateNode(node_id=team, parent_id="shops", kind=NodeKind.TEAM, name=team))
    written = [await admin.put_configuration(tenants.org, team, document) for document in history]
    for version in written:
        restored = await admin.roll_back_configuration(tenants.org, team, version.version)
        assert (restored.document, restored.hash) == (version.document, version.hash)
        assert await admin.configuration(tenants.org, team, version=version.version) == version
    empty = await admin.roll_back_configuration(tenants.org, team, 0)
    assert (empty.document, empty.hash) == ({}, content_hash({}))


@pytest.mark.anyio
async def test_versions_are_listed_in_pages_newest_first(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    for number in range(1, 6):
        await admin.put_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": number}})
    seen, cursor = [], None
    while True:
        page = await admin.configuration_versions(tenants.org, "checkout", cursor=cursor, limit=2)
        seen += [version.version for version in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    diff = await admin.configuration_diff(tenants.org, "checkout", 2, 5)
    assert [(change.pointer, change.before, change.after) for change in diff.changes] == [("/budgets/run_tokens", 2, 5)]
    backwards = await admin.configuration_diff(tenants.org, "checkout", 5, 0)
    assert [(change.pointer, change.kind) for change in backwards.changes] == [("/budgets", "removed")]


@pytest.mark.anyio
async def test_a_rollback_is_judged_and_bound_like_any_write(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "shops", {"models": {"big": {}}})
    await admin.put_configuration(tenants.org, "checkout", {"agents": {"investigator": {"model": "big"}}})
    with pytest.raises(PreconditionFailed):
        await admin.roll_back_configuration(tenants.org, "checkout", 0, if_match=9)
    with pytest.raises(Unprocessable, match="checkout"):
        await admin.roll_back_configuration(tenants.org, "shops", 0)
    with pytest.raises(NotFound):
        await admin.roll_back_configuration(tenants.org, "shops", 7)
    with pytest.raises(Forbidden):
        await service.with_token(tenants.teams["checkout"]).roll_back_configuration(tenants.org, "shops", 1)
    assert (await admin.configuration(tenants.org, "shops")).version == 1
    preview = await admin.preview_rollback(tenants.org, "shops", 0)
    assert [refusal.code for refusal in preview.refusals] == ["invalid_configuration"]


@pytest.mark.anyio
async def test_as_of_a_moment_is_what_was_in_force_then(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    moments: list[tuple[datetime, str, int | None]] = []
    for node, value in (("shops", 3), ("checkout", 2), ("shops", 9), ("checkout", 1)):
        written = await admin.put_configuration(tenants.org, node, {"budgets": {"run_tokens": value}})
        assert written.created_at is not None
        now = await admin.effective(tenants.org, "checkout")
        moments.append((written.created_at, now.hash, now.document.budgets.run_tokens))
    assert [tokens for _, _, tokens in moments] == [3, 2, 2, 1]
    for moment, document_hash, tokens in moments:
        then = await admin.effective(tenants.org, "checkout", at=moment)
        assert (then.hash, then.document.budgets.run_tokens) == (document_hash, tokens)
        explained = await admin.explained(tenants.org, "checkout", at=moment)
        assert explained.hash == document_hash
    first = await admin.configuration(tenants.org, "checkout", at=moments[0][0])
    assert (first.version, first.document) == (0, {})
    assert (await admin.configuration(tenants.org, "checkout", at=moments[2][0])).version == 1
    with pytest.raises(NotFound):
        await admin.effective(tenants.org, "checkout", at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.anyio
async def test_what_was_shown_can_be_had_again_by_its_hash(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    shown = await admin.effective(tenants.org, "checkout")
    await admin.put_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": 1}})
    again = await admin.effective_by_hash(tenants.org, "checkout", shown.hash)
    assert again.document == shown.document.model_dump(mode="json", by_alias=True)
    assert content_hash(again.document) == shown.hash
    own = await service.with_token(tenants.teams["checkout"]).effective_by_hash(tenants.org, "checkout", shown.hash)
    assert own == again
    for foreign, secret in ((tenants.org, tenants.teams["payments"]), (tenants.other, tenants.other_admin)):
        with pytest.raises(NotFound):
            await service.with_token(secret).effective_by_hash(foreign, "checkout", shown.hash)


@pytest.mark.anyio
async def test_later_writers_never_seem_earlier(service: Service, tenants: Tenants) -> None:
    """A version's time is taken under the lock: order of versions and order of times are one."""
    admin = service.with_token(tenants.admin)
    for number in range(1, 4):
        await admin.put_configuration(tenants.org, "shops", {"budgets": {"run_tokens": number}})
    page = await admin.configuration_versions(tenants.org, "shops")
    times = [version.created_at for version in reversed(page.items)]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("configuration?at=yesterday", 422),
        ("configuration?at=2026-01-01T00:00:00", 422),
        ("configuration?version=-1", 422),
        ("configuration?version=99999999999", 422),
        ("configuration?version=1&at=2026-01-01T00:00:00Z", 422),
        ("configuration?version=5", 404),
        ("configuration/versions/5", 404),
        ("configuration/versions/x", 422),
        ("configuration/diff?from=0", 422),
        ("configuration/diff?from=0&to=8", 404),
        ("effective?at=9999-12-31T23:59:59Z", 422),
        ("effective?explain=perhaps", 422),
        ("effective/sha256:0", 422),
        (f"effective/sha256:{'0' * 64}", 404),
    ],
)
async def test_bad_questions_about_the_past(service: Service, tenants: Tenants, query: str, status: int) -> None:
    answer = await service.call("GET", f"/api/v1/orgs/{tenants.org}/nodes/checkout/{query}", tenants.admin)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["detail"]


@pytest.mark.anyio
async def test_a_made_up_cursor_of_versions_is_refused(service: Service, tenants: Tenants) -> None:
    for cursor in ("W10", "WyItMSJd", "WyJhIl0", "WyI5OTk5OTk5OTk5OTkiXQ"):
        with pytest.raises(Invalid):
            await service.with_token(tenants.admin).configuration_versions(tenants.org, "checkout", cursor=cursor)
