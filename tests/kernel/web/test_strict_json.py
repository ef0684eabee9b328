"""JSON that two parsers could read differently is refused, by place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.web.strict_json import MAX_DEPTH, parse_strictly

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~"), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_what_is_sound_reads_as_it_is(value: object) -> None:
    assert parse_strictly(json.dumps(value).encode()) == value
    assert parse_strictly(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", "invalid_json", "line 1, column 2"),
        (b"\xff", "invalid_json", "UTF-8"),
        (b'{"a": "\xc3\x28"}', "invalid_json", "UTF-8"),
        (b"[NaN]", "invalid_json", "NaN"),
        (b"[-Infinity]", "invalid_json", "Infinity"),
        (b"[1e999]", "invalid_json", "out of range"),
        (b"[" + b"9" * 5000 + b"]", "invalid_json", "JSON"),
        (b'{"a": {"b/c": 1, "b/c": 2}}', "duplicate_key", "/a/b~1c"),
        (b'{"a": [{"x": "\\u0000"}]}', "invalid_text", "/a/0/x"),
        (b'{"\\u0000": 1}', "invalid_text", "NUL"),
        (b'{"a": "\\ud800"}', "invalid_text", "/a"),
        (b"[" * 100 + b"]" * 100, "too_deep", str(MAX_DEPTH)),
        (b"[" * 500_000, "too_deep", str(MAX_DEPTH)),
    ],
)
def test_what_cannot_be_read_alike_or_stored_is_refused_by_place(body: bytes, code: str, words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_strictly(body)
    assert refusal.value.code == code
    assert words in refusal.value.detail
