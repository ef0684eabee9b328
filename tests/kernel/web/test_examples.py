"""Examples of an OpenAPI document: where they stand, and what a call that is none does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from incidentfox.kernel.web.examples import Step, Story, show_examples

GET = {
    "parameters": [
        {"in": "path", "name": "thing_id", "schema": {"type": "string"}},
        {"in": "query", "name": "version", "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    ],
    "responses": {"200": {"content": {"text/event-stream": {}, "application/json": {}}}},
}
POST = {
    "requestBody": {"content": {"application/json": {}}},
    "responses": {"201": {"content": {"application/json": {}}}, "4XX": {"content": {"application/problem+json": {}}}},
}


def shown(tmp_path: Path, *steps: Step, **answers: Any) -> dict[str, Any]:
    """The document with these steps, answered so, by title."""
    record = tmp_path / "answers.json"
    record.write_text(json.dumps(answers))
    document: dict[str, Any] = json.loads(
        json.dumps({"paths": {"/things": {"post": POST}, "/things/{thing_id}": {"get": GET}}})
    )
    show_examples(document, Story(steps, record))
    return document["paths"]


def test_a_request_and_its_answers_stand_beside_their_schemas(tmp_path: Path) -> None:
    steps = (Step("Make", "ada", "POST /things", {"a": 1}, 201), Step("Fail", "ada", "POST /things", {"a": 2}, 409))
    post = shown(tmp_path, *steps, Make={"id": "t1"}, Fail={"code": "taken"})["/things"]["post"]
    assert post["requestBody"]["content"]["application/json"]["examples"] == {
        "make": {"summary": "Make", "value": {"a": 1}},
        "fail": {"summary": "Fail", "value": {"a": 2}},
    }
    responses = {status: next(iter(response["content"].values())) for status, response in post["responses"].items()}
    assert responses["201"]["examples"] == {"make": {"summary": "Make", "value": {"id": "t1"}}}
    assert responses["4XX"]["examples"] == {"fail": {"summary": "Fail", "value": {"code": "taken"}}}


def test_what_an_answer_gives_is_in_the_calls_after_it(tmp_path: Path) -> None:
    steps = (
        Step("Make", "ada", "POST /things", {"note": "{unknown}"}, 201, gives={"thing": "/items/0/id"}),
        Step("Read", "ada", "GET /things/{thing}?version=2"),
        Step("Read another", "ada", "GET /things/t%2F9"),
    )
    paths = shown(tmp_path, *steps, Make={"items": [{"id": "t1"}]}, Read={"id": "t1"})
    thing, version = paths["/things/{thing_id}"]["get"]["parameters"]
    assert thing["examples"] == {"read": {"value": "t1"}, "read-another": {"value": "t/9"}}
    assert version["example"] == 2
    content = paths["/things/{thing_id}"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["examples"]["read"]["value"] == {"id": "t1"}
    assert content["text/event-stream"] == {}


@pytest.mark.parametrize("call", ["GET /nothing", "DELETE /things", "GET /things/a/b"])
def test_a_call_that_is_no_operation_is_an_error(tmp_path: Path, call: str) -> None:
    with pytest.raises(LookupError, match="no operation"):
        shown(tmp_path, Step("Try", "ada", call))


def test_a_status_that_the_document_does_not_know_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="302"):
        shown(tmp_path, Step("Make", "ada", "POST /things", {}, 302), Make={})
