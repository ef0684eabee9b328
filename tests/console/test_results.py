"""Results of tools as people read them, and the quoted words found again in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape
from tests.console import investigation

from incidentfox.console.excerpts import Excerpts
from incidentfox.console.results import MOST_CHARACTERS, MOST_ROWS, view

NOTHING = Excerpts(())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_objects_in_a_list_become_a_table_with_what_they_are_about_in_front() -> None:
    rows = [{"score": 3.5, "metric": "latency", "service": "a"}, {"score": 1, "service": "b", "note": None}]
    [table] = view({"anomalies": rows}, NOTHING, "x").tables
    assert table.columns == ("service", "metric", "score")
    assert table.rows[1].cells == ("b", "–", "1")


def test_scalars_and_small_objects_become_facts() -> None:
    shown = view({"sessions": 23, "states": {"idle": 5}, "onset": 1_764_000_000.0, "ok": True}, NOTHING, "x")
    facts = {fact.name: str(fact.text) for fact in shown.facts}
    assert facts == {"sessions": "23", "states, idle": "5", "onset": "16:00:00", "ok": "yes"}


def test_nested_objects_are_spread_out_and_diffs_keep_their_sides() -> None:
    commit = {"sha": investigation.COMMIT, "author": "kim", "files": ["a.py", "b.py"], "diff": investigation.DIFF}
    shown = view({"commit": commit, "flags": []}, Excerpts(["payments.authorise(order)  # inside"]), "x")
    facts = {fact.name: str(fact.text) for fact in shown.facts}
    assert facts == {"commit, sha": "7c1e9a40d2", "commit, author": "kim", "commit, files": "a.py, b.py", "flags": "–"}
    [diff] = shown.texts
    assert [line.side for line in diff.lines] == ["", "", "", "add", "", "remove"]
    assert "<mark>" in diff.lines[3].text


def test_a_series_becomes_a_plot() -> None:
    [result] = [result for call, _, _, result, _ in investigation.calls() if call == "c2"]
    shown = view(result, NOTHING, "x")
    assert shown.plot is not None
    assert "onset 09:39:42" in shown.plot
    assert not {"times", "values"} & {fact.name for fact in shown.facts}


def test_long_tables_are_cut_but_never_before_a_cited_row() -> None:
    rows = [{"n": index, "line": f"line {index}."} for index in range(100)]
    [table] = view({"rows": rows}, Excerpts(["line 90."]), "x").tables
    assert len(table.rows) == MOST_ROWS + 1
    assert table.rows[-1].cited
    assert table.left_out == 100 - MOST_ROWS - 1


def test_huge_results_are_shortened_round_what_is_quoted() -> None:
    result = {"text": "x" * MOST_CHARACTERS * 2 + " the words " + "y" * MOST_CHARACTERS}
    shown = view(result, Excerpts(["the words"]), "x")
    assert shown.shortened
    assert "<mark>the words</mark>" in shown.raw
    assert len(shown.raw) < MOST_CHARACTERS * 2


@given(json_values)
def test_any_json_is_shown(value: object) -> None:
    shown = view(value, NOTHING, "x")
    if not isinstance(value, str):
        assert json.loads(shown.raw.unescape()) == value


@pytest.mark.parametrize(
    ("excerpt", "result"),
    [
        ('{"a": 1, "b": [2, 3]}', {"a": 1, "b": [2, 3]}),
        ("connection refused\n  to db", {"log": "connection  refused to db"}),
        ('say "hello"', {"log": 'he did say "hello" twice'}),
        ("naïve ünïcode", {"log": "a naïve ünïcode line"}),
        ("a.b*c", {"pattern": "a.b*c"}),
    ],
)
def test_excerpts_are_found_however_json_is_spaced(excerpt: str, result: dict[str, object]) -> None:
    shown = view(result, Excerpts([excerpt]), "x")
    assert "<mark>" in shown.raw


def test_marks_do_not_overlap_and_the_rest_is_escaped() -> None:
    marked = Excerpts(["<b> and", "and <i>"]).mark("x <b> and <i> y & z")
    assert str(marked) == "x <mark>&lt;b&gt; and &lt;i&gt;</mark> y &amp; z"


@given(st.text(), st.lists(st.text(max_size=8), max_size=4))
def test_marking_changes_no_text(text: str, excerpts: list[str]) -> None:
    marked = str(Excerpts(excerpts).mark(text))
    assert marked.replace("<mark>", "").replace("</mark>", "") == str(escape(text))
