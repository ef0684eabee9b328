"""Reading what was typed: where each value stands, what is refused at which line, and drafts that met."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incidentfox.console.documents import carried, json_text, placed, read_draft
from incidentfox.contracts.problem import FieldError

property_test = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=5)
KEYS = st.text("ab/~", max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@property_test
@given(DOCUMENTS)
def test_a_document_survives_the_editor(document: dict[str, Any]) -> None:
    draft = read_draft(json_text(document).replace("\n", "\r\n"))
    assert draft.document == document
    assert draft.troubles == ()


@property_test
@given(DOCUMENTS)
def test_every_value_has_its_line(document: dict[str, Any]) -> None:
    """Found by another road: the text cut off behind the line holds the key, and the key's line holds it."""
    text = json_text(document)
    lines = text.split("\n")
    draft = read_draft(text)
    for key in document:
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        assert lines[draft.lines[pointer] - 1].startswith(f"  {json.dumps(key, ensure_ascii=False)}:")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"a": 1,\n "a": 2}', 2, "twice"),
        ('{"a": {\n "b": 1,\n "b": 1}}', 3, "twice"),
        ('{"a": [1,\n2,]}', 2, "no comma after the last"),
        ('{\n"a": 1,\n}', 2, "no comma after the last"),
        ('{"a"\n1}', 2, "colon"),
        ('{\n\na: 1}', 3, "double quotes"),
        ('{"a": 1\n"b": 2}', 2, "comma or a }"),
        ('{"a":\ntru}', 2, "Expecting value"),
        ('{"a": NaN}', 1, "NaN"),
        ('{"a": 1e999}', 1, "cannot be kept"),
        ('{"a": "\\ud800"}', 1, "surrogates"),
        ("[1]", 1, "object"),
        ("{}\n{}", 2, "ends before"),
        ("[" * 5000, 1, "deeper than 64"),
        ('{"a": ' + "9" * 5000 + "}", 1, "cannot be kept"),
        ('{"a', 1, "Unterminated"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, words: str) -> None:
    draft = read_draft(text)
    assert draft.document is None
    [trouble] = draft.troubles
    assert trouble.line == line
    assert words in trouble.message


def test_an_error_stands_at_its_value_or_the_nearest_round_it() -> None:
    draft = read_draft('{\n"budgets": {\n"run_usd": 9\n},\n"agents": {}\n}')
    errors = [
        FieldError(pointer="/models/x", message="elsewhere"),
        FieldError(pointer="/agents/investigator/model", message="below"),
        FieldError(pointer="/budgets/run_usd", message="itself"),
    ]
    assert [(found.line, found.message) for found in placed(errors, draft.lines)] == [
        (3, "itself"),
        (5, "below"),
        (0, "elsewhere"),
    ]


@property_test
@given(DOCUMENTS, DOCUMENTS)
def test_drafts_that_do_not_meet_carry_over(base: dict[str, Any], mine: dict[str, Any]) -> None:
    assert carried(base, mine, base) == (mine, ())
    assert carried(base, base, mine) == (mine, ())
    assert carried(base, mine, mine) == (mine, ())


def test_both_changes_hold_and_a_clash_is_named() -> None:
    base = {"a": 1, "b": {"x": 1, "y": 1}, "c": 1}
    mine = {"a": 2, "b": {"x": 2, "y": 1}, "d": None}
    theirs = {"a": 3, "b": {"x": 1, "y": 3}, "c": 1}
    merged, clashes = carried(base, mine, theirs)
    assert merged == {"a": 2, "b": {"x": 2, "y": 3}, "d": None}
    assert clashes == ("/a",)
