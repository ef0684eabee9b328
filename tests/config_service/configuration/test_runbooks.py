"""Runbooks in configuration: inherited, switched off, bounded, and explained."""

from __future__ import annotations

from typing import Any

import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS
from incidentfox.config_service.configuration.rules import inherit, read_effective
from incidentfox.contracts.configuration import MAX_KNOWLEDGE_CHARACTERS, MAX_RUNBOOK_CHARACTERS
from incidentfox.kernel.errors import Unprocessable

RUNBOOK = {"title": "Orders: locks", "text": "# Mitigation\n\nRoll back.", "services": ["orders", "checkout-*"]}


def runbooks(**found: dict[str, Any] | None) -> dict[str, Any]:
    return {"knowledge": {"runbooks": found}}


def errors(*documents: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a team below these documents."""
    _, found = read_effective(inherit([PLATFORM_DEFAULTS, *documents]))
    return [(error.pointer, error.message) for error in found]


def test_a_level_below_changes_one_key_and_keeps_the_rest() -> None:
    below = runbooks(locks={"services": ["orders"]}, mine={"title": "Mine", "text": "Mine."})
    configuration, found = read_effective(inherit([PLATFORM_DEFAULTS, runbooks(locks=RUNBOOK), below]))
    assert found == []
    assert configuration is not None
    assert set(configuration.knowledge.runbooks) == {"locks", "mine"}
    locks = configuration.knowledge.runbooks["locks"]
    assert (locks.enabled, locks.title, locks.services) == (True, "Orders: locks", ("orders",))


def test_one_that_is_switched_off_may_outlive_what_it_switched_off() -> None:
    off = runbooks(locks={"enabled": False})
    assert errors(runbooks(locks=RUNBOOK), off) == []
    assert errors(off) == [], "the organisation may delete its runbook without asking every team"
    assert errors(runbooks(locks=RUNBOOK), runbooks(locks=None)) == []


@pytest.mark.parametrize(
    ("changed", "pointer", "words"),
    [
        ({"title": "  "}, "/title", "needs a title"),
        ({"text": ""}, "/text", "needs a text"),
        ({"title": "t" * 201}, "/title", "at most 200"),
        ({"text": "x" * (MAX_RUNBOOK_CHARACTERS + 1)}, "/text", "at most 32768"),
        ({"services": [""]}, "/services/0", "pattern"),
        ({"services": ["s"] * 101}, "/services", "at most 100"),
        ({"url": "javascript:alert(1)"}, "/url", "http"),
        ({"txt": "x"}, "/txt", "Did you mean 'text'?"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(changed: dict[str, Any], pointer: str, words: str) -> None:
    [(where, message)] = errors(runbooks(locks={**RUNBOOK, **changed}))
    assert where == f"/knowledge/runbooks/locks{pointer}"
    assert words in message


def test_there_is_an_end_to_how_many_and_how_much() -> None:
    [(where, message)] = errors(runbooks(**{f"r{number}": RUNBOOK for number in range(201)}))
    assert where == "/knowledge/runbooks"
    assert "at most 200" in message
    whole = {**RUNBOOK, "text": "x" * MAX_RUNBOOK_CHARACTERS}
    most = MAX_KNOWLEDGE_CHARACTERS // MAX_RUNBOOK_CHARACTERS
    assert errors(runbooks(**{f"r{number}": whole for number in range(most)})) == []
    [(where, message)] = errors(runbooks(**{f"r{number}": whole for number in range(most + 1)}))
    assert where == "/knowledge/runbooks"
    assert str(MAX_KNOWLEDGE_CHARACTERS) in message


@pytest.mark.anyio
async def test_explain_says_who_wrote_a_runbook_and_who_switched_it_off(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    written = await admin.put_configuration(tenants.org, tenants.org, runbooks(locks=RUNBOOK))
    await admin.put_configuration(tenants.org, "checkout", runbooks(locks={"enabled": False}))
    explained = await admin.explained(tenants.org, "checkout")
    values = {value.pointer: value for value in explained.values}
    text, enabled = (values[f"/knowledge/runbooks/locks/{key}"] for key in ("text", "enabled"))
    assert (text.value, text.set_by.node_id, text.set_by.by) == (RUNBOOK["text"], tenants.org, written.created_by)
    assert (enabled.value, enabled.set_by.node_id) == (False, "checkout")
    assert values["/knowledge/runbooks/locks/url"].set_by.node_id == "platform:schema"
    tools = explained.document.agents["investigator"].tools
    assert "find_runbooks" in tools
    with pytest.raises(Unprocessable) as refused:
        await admin.patch_configuration(tenants.org, tenants.org, runbooks(locks={"text": ""}))
    assert [error.pointer for error in refused.value.errors][:1] == ["/knowledge/runbooks/locks/text"]
