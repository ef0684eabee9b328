"""What a configuration may say about MCP servers, and who is named when one that others depend on is taken away."""

from __future__ import annotations

from typing import Any

import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS
from incidentfox.config_service.configuration.rules import effective_json, inherit, read_effective
from incidentfox.config_service.configuration.schema import document_schema
from incidentfox.contracts.configuration import offered_name
from incidentfox.kernel.errors import Unprocessable

pytestmark = pytest.mark.anyio

SERVER = {"url": "https://runbooks.example.com/mcp", "tools": ["search"], "headers": {"X-Team": "sre"}}


def judged(server: dict[str, Any], **rest: Any) -> list[tuple[str, str]]:
    document = {"mcp_servers": {"books": {**SERVER, **server}}, **rest}
    _, errors = read_effective(inherit([PLATFORM_DEFAULTS, document]))
    return [(error.pointer, error.message) for error in errors]


def test_what_is_right_is_accepted_and_comes_out_complete() -> None:
    secret = {"Authorization": {"$secret": "books-token"}}
    document = {
        "mcp_servers": {"books": {**SERVER, "headers": secret}},
        "agents": {"investigator": {"mcp_servers": ["books"]}},
    }
    configuration, errors = read_effective(inherit([PLATFORM_DEFAULTS, document]))
    assert not errors
    assert configuration is not None
    sent = effective_json(configuration)["mcp_servers"]["books"]
    assert sent == {"enabled": True, "timeout_s": 10, "url": SERVER["url"], "tools": ["search"], "headers": secret}
    assert offered_name("books", "docs.search/v2") == "books_docs_search_v2"
    assert "McpServer" in document_schema()["$defs"]


@pytest.mark.parametrize(
    ("server", "pointer", "words"),
    [
        ({"urll": "x"}, "/urll", "Did you mean 'url'?"),
        ({"url": None}, "/url", "required"),
        ({"url": "file:///etc/passwd"}, "/url", "http"),
        ({"url": "https://user:pw@host/mcp"}, "/url", "`headers`"),
        ({"url": "https://host/mcp?api_key=1"}, "/url", "query"),
        ({"tools": []}, "/tools", "Only listed tools are offered"),
        ({"tools": None}, "/tools", "Only listed tools are offered"),
        ({"tools": ["a b"]}, "/tools/0", "pattern"),
        ({"tools": ["x" * 60]}, "/tools/0", "longer than 64"),
        ({"tools": ["a.b", "a/b"]}, "/tools/1", "the tool 'a.b' of the MCP server 'books'"),
        ({"timeout_s": 0}, "/timeout_s", "greater"),
        ({"timeout_s": 41}, "/timeout_s", "less"),
        ({"headers": {"Authorization": "Bearer abc"}}, "/headers/Authorization", "secret"),
        ({"headers": {"X-Api-Key": "abc"}}, "/headers/X-Api-Key", "secret"),
        ({"headers": {"X-Note": "ghp_" + "a1B2" * 9}}, "/headers/X-Note", "secret"),
        ({"headers": {"Host": "other"}}, "/headers/Host", "protocol"),
        ({"headers": {"Mcp-Session-Id": "1"}}, "/headers/Mcp-Session-Id", "protocol"),
        ({"headers": {"X-Note": "a\r\nHost: b"}}, "/headers/X-Note", "pattern"),
        ({"headers": {"X-Note": 5}}, "/headers/X-Note", "string"),
        ({"headers": {"X: y": "z"}}, "/headers/X: y", "pattern"),
        ({"headers": {"X-Note": {"secret": "x"}}}, "/headers/X-Note/secret", "Did you mean '$secret'?"),
    ],
)
def test_a_refusal_names_the_place_and_the_remedy(server: dict[str, Any], pointer: str, words: str) -> None:
    found = judged(server)
    assert any(place == f"/mcp_servers/books{pointer}" and words in message for place, message in found), found


@pytest.mark.parametrize(
    ("key", "tool", "whose"),
    [
        ("search", "logs", "a tool of the catalogue"),
        ("write", "report", "the agents' report"),
        ("ask", "investigator", "the agent 'investigator'"),
    ],
)
def test_no_tool_of_a_server_takes_a_name_that_means_something_else(key: str, tool: str, whose: str) -> None:
    document = {"mcp_servers": {key: {**SERVER, "tools": [tool]}}}
    _, [error] = read_effective(inherit([PLATFORM_DEFAULTS, document]))
    assert error.pointer == f"/mcp_servers/{key}/tools/0"
    assert whose in error.message


def test_an_agent_s_server_must_be_there_and_on() -> None:
    [(pointer, message)] = judged({}, agents={"investigator": {"mcp_servers": ["book"]}})
    assert pointer == "/agents/investigator/mcp_servers/0"
    assert "'investigator' depends on the MCP server 'book'" in message
    assert "Did you mean 'books'?" in message
    off = {"enabled": False, "tools": None}
    [(pointer, message)] = judged(off, agents={"investigator": {"mcp_servers": ["books"]}})
    assert pointer == "/agents/investigator/mcp_servers/0"
    assert "off" in message
    assert judged(off) == []
    assert judged(off, agents={"idle": {"enabled": False, "mcp_servers": ["books"]}}) == []


async def test_taking_away_a_server_names_the_teams_that_depend_on_it(service: Service, tenants: Tenants) -> None:
    admin, org = service.with_token(tenants.admin), tenants.org
    await admin.put_configuration(org, org, {"mcp_servers": {"books": SERVER}})
    uses = {"agents": {"investigator": {"mcp_servers": ["books"]}}}
    await admin.put_configuration(org, "checkout", uses)
    for taken_away in ({"mcp_servers": {"books": {**SERVER, "enabled": False}}}, {}):
        with pytest.raises(Unprocessable) as refusal:
            await admin.put_configuration(org, org, taken_away)
        [error] = refusal.value.errors
        assert error.pointer == "/agents/investigator/mcp_servers/0"
        assert error.message.startswith(
            "In team 'checkout': The agent 'investigator' depends on the MCP server 'books'"
        )
