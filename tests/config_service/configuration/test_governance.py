"""Policies hold in every effective result, whoever writes what, where, in which order and at the same time."""

from __future__ import annotations

import secrets
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.config_service.surroundings import Service, Tenants

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.config_service.configuration.governance import HeldPolicy, judge, read_policies
from incidentfox.config_service.configuration.pointers import matches, split
from incidentfox.contracts.governance import Policy
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind, UpdateNode
from incidentfox.kernel.errors import Conflict, PreconditionFailed, Unprocessable

TOKENS = "/budgets/run_tokens"


def policies(**by_path: dict[str, Any]) -> dict[str, Any]:
    """`policies(budgets__run_tokens={"max": 5})`: the paths with `__` for a slash and `ANY` for `*`."""
    return {"policies": {f"/{path.replace('__', '/').replace('ANY', '*')}": rule for path, rule in by_path.items()}}


def held(rule: dict[str, Any], path: str = TOKENS, at_holder: dict[str, Any] | None = None) -> HeldPolicy:
    tokens = split(path)
    return HeldPolicy("acme", path, tokens, Policy(**rule), dict(matches(at_holder or {}, tokens)))


# -- what a policy says, purely ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ({"max": 10}, 10, True),
        ({"max": 10}, 11, False),
        ({"max": 10}, None, False),
        ({"max": 10}, True, False),
        ({"min": 2, "max": 10}, 1, False),
        ({"min": 2}, 2.5, True),
        ({"allowed": (1, None)}, None, True),
        ({"allowed": (1,)}, None, False),
        ({"allowed": (1,)}, True, False),
        ({"allowed": (True,)}, 1, False),
        ({"allowed": (1,)}, 1.0, True),
        ({"pattern": "^#"}, "#x", True),
        ({"pattern": "^#"}, "x#", False),
        ({"pattern": "^#"}, None, True),
        ({"pattern": "^#"}, ["#a", "b"], False),
        ({"max": 3}, [1, 2, 3], True),
        ({"required": True}, None, False),
        ({"required": True}, "", False),
        ({"required": True}, [], False),
        ({"required": True}, 0, True),
        ({"required": True}, False, True),
    ],
)
def test_bounds_of_a_team(rule: dict[str, Any], value: object, kept: bool) -> None:
    document = {"budgets": {"run_tokens": value}}
    assert (list(judge(held(rule), document, is_team=True)) == []) == kept


@pytest.mark.parametrize("rule", [{"required": True}, {"max": 5}])
def test_what_only_a_team_must_have_a_unit_may_leave_open(rule: dict[str, Any]) -> None:
    document = {"budgets": {"run_tokens": None}}
    assert list(judge(held(rule), document, is_team=False)) == []
    assert list(judge(held(rule), document, is_team=True)) != []


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"agents": {"a": {"model": "x"}}}, []),
        ({"agents": {"a": {"model": "y"}}}, ["/agents/a/model"]),
        ({"agents": {"a": {}}}, ["/agents/a/model"]),
        ({"agents": {}}, ["/agents/a/model"]),
        ({"agents": "gone"}, ["/agents/a/model"]),
        ({}, ["/agents/a/model"]),
        ({"agents": {"a": {"model": "x"}, "b": {"model": "x"}}}, ["/agents/b/model"]),
        ({"agents": {"a": {"model": ["x"]}}}, ["/agents/a/model"]),
    ],
)
def test_a_lock_covers_removal_replacement_and_addition(document: dict[str, Any], pointers: list[str]) -> None:
    lock = held({"locked": True}, "/agents/*/model", {"agents": {"a": {"model": "x"}}})
    assert [error.pointer for error in judge(lock, document, is_team=True)] == pointers


@pytest.mark.parametrize(
    ("declared", "pointer", "words"),
    [
        ([], "/policies", "an object"),
        ({"budgets": {"max": 1}}, "/policies/budgets", "JSON Pointer"),
        ({"/budget": {"locked": True}}, "/policies/~1budget", "Did you mean 'budgets'?"),
        ({"/budgets/run_token": {"max": 1}}, "/policies/~1budgets~1run_token", "Did you mean 'run_tokens'?"),
        ({"/budgets/*": {"max": 1}}, "/policies/~1budgets~1*", "keys of a map"),
        ({TOKENS: {"maximum": 1}}, "/policies/~1budgets~1run_tokens/maximum", "Known here: locked"),
        ({TOKENS: {"max": "1"}}, "/policies/~1budgets~1run_tokens/max", "number"),
        ({TOKENS: {}}, "/policies/~1budgets~1run_tokens", "demands nothing"),
        ({TOKENS: {"pattern": "^#"}}, "/policies/~1budgets~1run_tokens/pattern", "string"),
        ({TOKENS: {"min": 3, "max": 2}}, "/policies/~1budgets~1run_tokens/min", "above the greatest"),
        ({"/agents": {"allowed": ["x"]}}, "/policies/~1agents/allowed", "object"),
        ({"/agents/*/model": {"pattern": "(?=x)"}}, "/policies/~1agents~1*~1model/pattern", "RE2"),
        ({"/agents/*/model": {"pattern": "("}}, "/policies/~1agents~1*~1model/pattern", "RE2"),
        ({f"/agents/a{n}/model": {"locked": True} for n in range(201)}, "/policies", "200 policies"),
    ],
)
def test_a_malformed_policy_is_refused_with_its_place(declared: object, pointer: str, words: str) -> None:
    found, errors = read_policies(declared)
    assert found == {}
    assert any(error.pointer == pointer and words in error.message for error in errors), errors


def test_a_pattern_cannot_stall_the_service() -> None:
    hostile = held({"pattern": "^(a+)+$"}, "/entrance_agent")
    assert list(judge(hostile, {"entrance_agent": "a" * 50_000 + "!"}, is_team=True))


# -- on the service: what does not get past them --------------------------------------------------------------------


async def refused(*writes: Any) -> None:
    for write in writes:
        with pytest.raises(Unprocessable) as refusal:
            await write
        assert refusal.value.code == "policy_violation", refusal.value.detail
        assert refusal.value.errors


@pytest.mark.anyio
async def test_no_write_below_a_lock_moves_what_it_holds(service: Service, tenants: Tenants) -> None:
    admin, team, org = service.with_token(tenants.admin), service.with_token(tenants.teams["checkout"]), tenants.org
    lock = policies(agents__investigator__limits={"locked": True}, models={"locked": True})
    await admin.put_configuration(org, org, {"models": {"big": {}}, **lock})
    limits = {"agents": {"investigator": {"limits": {"timeout_s": 5}}}}
    await refused(
        team.put_configuration(org, "checkout", limits),
        team.patch_configuration(org, "checkout", {"models": {"mine": {}}}),
        team.put_configuration(org, "checkout", {"models": {"big": None}}),
        team.put_configuration(org, "checkout", {"models": {"big": {"name": "other"}}}),
        admin.put_configuration(org, "shops", limits),
    )
    # The value that holds anyway may be written; the parent object replaced through a removal may not.
    await team.put_configuration(org, "checkout", {"agents": {"investigator": {"limits": {"timeout_s": 600}}}})
    with pytest.raises(Unprocessable):
        await team.put_configuration(org, "checkout", {"agents": None})
    with pytest.raises(Unprocessable):
        await team.put_configuration(org, "checkout", {"models": "none"})
    await refused(
        admin.create_node(
            org, CreateNode(node_id="new", parent_id="shops", kind=NodeKind.TEAM, name="New", configuration=limits)
        )
    )
    assert (await admin.effective(org, "checkout")).document.agents["investigator"].limits.timeout_s == 600


@pytest.mark.anyio
async def test_the_holder_of_a_lock_changes_it_for_everybody(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}, **policies(budgets={"locked": True})})
    await admin.patch_configuration(org, org, {"budgets": {"run_tokens": 6}})
    assert (await admin.effective(org, "checkout")).document.budgets.run_tokens == 6
    explained = await admin.explained(org, "checkout")
    value = next(value for value in explained.values if value.pointer == TOKENS)
    assert [(policy.node_id, policy.path, policy.policy.locked) for policy in value.policies] == [
        (org, "/budgets", True)
    ]


@pytest.mark.anyio
async def test_a_policy_that_teams_break_is_refused_with_their_list(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}})
    for team in ("checkout", "payments"):
        await admin.put_configuration(org, team, {"budgets": {"run_tokens": 50}})
    with pytest.raises(Unprocessable) as refusal:
        await admin.patch_configuration(org, org, policies(budgets__run_tokens={"max": 10}))
    assert [(error.pointer, error.message[:18]) for error in refusal.value.errors] == [
        (TOKENS, "In team 'checkout'"),
        (TOKENS, "In team 'payments'"),
    ]
    assert (await admin.configuration(org, org)).version == 1


@pytest.mark.anyio
async def test_a_bound_holds_through_removals_rollbacks_and_moves(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "checkout", {"budgets": {"run_tokens": 90}})
    await admin.put_configuration(org, "checkout", {"budgets": {"run_tokens": 3}})
    await admin.create_node(org, CreateNode(node_id="free", parent_id=org, kind=NodeKind.UNIT, name="Free"))
    wild = CreateNode(
        node_id="wild", parent_id="free", kind=NodeKind.TEAM, name="Wild", configuration={"budgets": {"run_tokens": 99}}
    )
    await admin.create_node(org, wild)
    bounded = {"budgets": {"run_tokens": 5}, **policies(budgets__run_tokens={"max": 10})}
    await admin.put_configuration(org, "shops", bounded)
    await refused(
        admin.roll_back_configuration(org, "checkout", 1),
        admin.put_configuration(org, "checkout", {"budgets": {"run_tokens": None}}),
        admin.put_configuration(org, "checkout", {"budgets": None}),
        admin.update_node(org, "wild", UpdateNode(parent_id="shops")),
        admin.update_node(org, "free", UpdateNode(parent_id="shops")),
        admin.patch_configuration(org, "shops", {"budgets": {"run_tokens": 11}}),
    )
    assert (await admin.node(org, "wild")).parent_id == "free"
    assert (await admin.effective(org, "checkout")).document.budgets.run_tokens == 3


@pytest.mark.anyio
async def test_what_is_required_must_come_with_a_new_team(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    demand = policies(agents__investigator__prompt__prefix={"required": True})
    await admin.put_configuration(org, "shops", {"agents": {"investigator": {"prompt": {"prefix": "Be brief."}}}})
    with pytest.raises(Unprocessable) as refusal:
        await admin.patch_configuration(
            org,
            "checkout",
            {
                "agents": {"investigator": {"prompt": {"prefix": ""}}},
                **demand,
            },
        )
    assert [error.pointer for error in refusal.value.errors] == ["/agents/investigator/prompt/prefix"]
    await admin.patch_configuration(org, org, demand)
    team = CreateNode(node_id="bare", parent_id=org, kind=NodeKind.TEAM, name="Bare")
    await refused(admin.create_node(org, team))
    preview = await admin.preview_creation(org, team)
    assert [refusal.code for refusal in preview.refusals] == ["policy_violation"]
    given_one = {"agents": {"investigator": {"prompt": {"prefix": "Hello."}}}}
    await admin.create_node(org, team.model_copy(update={"configuration": given_one}))
    assert (await admin.configuration(org, "bare")).version == 1
    await refused(admin.put_configuration(org, "bare", {}))


@pytest.mark.anyio
async def test_a_nodes_policies_are_not_inherited_as_configuration(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}, **policies(budgets={"locked": True})})
    team = service.with_token(tenants.teams["checkout"])
    await team.put_configuration(org, "checkout", {"policies": None})
    await team.put_configuration(org, "checkout", {"policies": {"/budgets": {"requires_approval": True}}})
    await refused(team.patch_configuration(org, "checkout", {"budgets": {"run_tokens": 6}}))


@pytest.mark.anyio
async def test_a_parents_lock_and_a_childs_edit_cannot_both_slip_through(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    for number in range(4):
        await admin.put_configuration(org, org, {"budgets": {"run_tokens": 5}})
        await admin.put_configuration(org, "checkout", {})
        async with anyio.create_task_group() as group:
            group.start_soon(attempt, admin.patch_configuration(org, org, policies(budgets={"locked": True})))
            group.start_soon(
                attempt, admin.patch_configuration(org, "checkout", {"budgets": {"run_tokens": number + 6}})
            )
        locked = "policies" in (await admin.configuration(org, org)).document
        edited = (await admin.effective(org, "checkout")).document.budgets.run_tokens != 5
        assert locked != edited


@pytest.mark.anyio
async def test_who_is_bound_to_a_unit_is_judged_by_all_teams_below_it(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, "shops", {"models": {"big": {}}, "budgets": {"run_tokens": 5}})
    await admin.put_configuration(org, "payments", {"agents": {"investigator": {"model": "big"}}})
    await admin.put_configuration(org, "checkout", {"budgets": {"run_tokens": 9}})
    token = await admin.create_token(org, CreateToken(name="lead", node_id="shops", role=Role.TEAM_ADMIN))
    lead = service.with_token(token.secret)
    with pytest.raises(Unprocessable, match="payments"):
        await lead.put_configuration(org, "shops", {})
    with pytest.raises(Unprocessable, match="checkout"):
        await lead.patch_configuration(org, "shops", policies(budgets__run_tokens={"max": 6}))
    preview = await lead.preview_patch(org, "shops", {"budgets": {"run_tokens": 4}})
    assert [team.team_node_id for team in preview.teams] == ["payments"]
    await lead.patch_configuration(org, "shops", policies(budgets__run_tokens={"max": 9}))
    await refused(lead.patch_configuration(org, "checkout", {"budgets": {"run_tokens": 10}}))
    await lead.patch_configuration(org, "checkout", {"budgets": {"run_tokens": 8}})
    assert (await lead.effective(org, "checkout")).document.budgets.run_tokens == 8


# -- whatever the sequence ------------------------------------------------------------------------------------------

numbers = st.none() | st.integers(1, 9)
rules = st.sampled_from(
    [
        {},
        {TOKENS: {"max": 5}},
        {TOKENS: {"locked": True}},
        {"/budgets": {"locked": True}},
        {"/agents/*/limits/timeout_s": {"min": 3, "max": 6}},
        {"/agents/*/description": {"locked": True}},
        {"/budgets/day_tokens": {"allowed": [None, 2, 4]}},
    ]
)
fragments = st.fixed_dictionaries(
    {},
    optional={
        "budgets": st.none() | st.fixed_dictionaries({}, optional={"run_tokens": numbers, "day_tokens": numbers}),
        "agents": st.fixed_dictionaries(
            {},
            optional={
                "investigator": st.fixed_dictionaries({"limits": st.fixed_dictionaries({"timeout_s": numbers})}),
                "second": st.none() | st.fixed_dictionaries({"description": st.sampled_from(["a", "b"])}),
            },
        ),
        "policies": rules,
    },
)
writes = st.tuples(st.sampled_from(["org", "one", "two", "x", "y"]), st.sampled_from(["PUT", "PATCH"]), fragments)
moves = st.tuples(st.sampled_from(["x", "y", "two"]), st.just("MOVE"), st.sampled_from(["org", "one", "two"]))
batches = st.lists(st.lists(writes | moves, min_size=1, max_size=4), min_size=2, max_size=5)


async def attempt(write: Any) -> bool:
    try:
        await write
    except (Unprocessable, Conflict, PreconditionFailed):
        return False
    return True


async def perform(admin: ConfigServiceClient, org: str, names: dict[str, str], step: tuple[str, str, Any]) -> None:
    node, kind, content = step
    if kind == "MOVE":
        await attempt(admin.update_node(org, names[node], UpdateNode(parent_id=names[content])))
    elif kind == "PUT":
        await attempt(admin.put_configuration(org, names[node], content))
    else:
        await attempt(admin.patch_configuration(org, names[node], content))


def breaches(policies: dict[str, Any], holder: dict[str, Any], team: dict[str, Any]) -> list[str]:
    """What a team's effective document does against policies, said in another way than the product's."""
    found = []
    for path, rule in policies.items():
        here, there = dict(matches(team, split(path))), dict(matches(holder, split(path)))
        if rule.get("locked") and here != there:
            found.append(f"lock {path}")
        for value in here.values():
            if "max" in rule and not (isinstance(value, int) and rule.get("min", 0) <= value <= rule["max"]):
                found.append(f"bound {path}")
            if "allowed" in rule and value not in rule["allowed"]:
                found.append(f"allowed {path}")
    return found


async def standing_breaches(admin: ConfigServiceClient, org: str, names: dict[str, str]) -> list[str]:
    effective, parents, declared = {}, {}, {}
    for node in names.values():
        shown = await admin.effective(org, node)
        effective[node] = shown.document.model_dump(mode="json", by_alias=True)
        parents[node] = (await admin.node(org, node)).parent_id
        declared[node] = (await admin.configuration(org, node)).document.get("policies") or {}
    found = []
    for team in (names["x"], names["y"]):
        holder: str | None = team
        while holder is not None:
            found += [f"{team}: {breach}" for breach in breaches(declared[holder], effective[holder], effective[team])]
            holder = parents[holder]
    return found


@pytest.mark.anyio
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=batches)
async def test_policies_hold_after_any_sequence_of_writes_and_moves_also_concurrent_ones(
    service: Service, tenants: Tenants, steps: list[list[tuple[str, str, Any]]]
) -> None:
    platform, org = service.as_service("platform"), f"prop-{secrets.token_hex(5)}"
    names = {"org": org, **{name: name for name in ("one", "two", "x", "y")}}
    await platform.create_organisation(CreateOrganisation(org_id=org, name="Property"))
    for name, parent, kind in (
        ("one", org, "unit"),
        ("two", "one", "unit"),
        ("x", "two", "team"),
        ("y", "one", "team"),
    ):
        node = CreateNode(node_id=name, parent_id=parent, kind=NodeKind(kind), name=name)
        await platform.create_node(org, node)
    for batch in steps:
        async with anyio.create_task_group() as group:
            for step in batch:
                group.start_soon(perform, platform, org, names, step)
        assert await standing_breaches(platform, org, names) == []
