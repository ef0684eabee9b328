"""The hash chain: whatever is done to it, the first link that no longer holds is named."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from incidentfox.kernel.hash_chain import GENESIS, Break, Link, Point, Verifier, next_link

Row = tuple[Link, dict[str, Any] | None]


def chain_of(count: int, start: Point = GENESIS) -> list[Row]:
    rows: list[Row] = []
    point = start
    for number in range(count):
        content = {"number": number, "absent": None}
        link = next_link(point, content)
        rows.append((link, content))
        point = link.point
    return rows


def first_break(rows: list[Row], start: Point = GENESIS, *known: Point) -> Break | None:
    verifier = Verifier(start, known)
    for link, content in rows:
        broken = verifier.check(link, content)
        if broken is not None:
            return broken
    return verifier.end()


def test_a_whole_chain_holds_from_any_point_of_it() -> None:
    rows = chain_of(5)
    assert first_break(rows) is None
    assert first_break(rows[3:], rows[2][0].point, rows[4][0].point) is None


def test_a_field_that_a_later_release_adds_leaves_older_links_as_they_are() -> None:
    [(link, content)] = chain_of(1)
    assert content is not None
    assert first_break([(link, {**content, "added_later": None})]) is None


@given(st.integers(2, 12), st.data())
def test_a_changed_event_is_located(count: int, data: st.DataObject) -> None:
    rows, at = chain_of(count), data.draw(st.integers(0, count - 1))
    rows[at] = (rows[at][0], {"number": "changed"})
    broken = first_break(rows)
    assert broken is not None
    assert broken.seq == at + 1
    assert "changed" in broken.reason


@given(st.integers(2, 12), st.data())
def test_a_removed_link_is_located(count: int, data: st.DataObject) -> None:
    rows, at = chain_of(count), data.draw(st.integers(0, count - 1))
    end = rows[-1][0].point
    del rows[at]
    broken = first_break(rows, GENESIS, end)
    assert broken is not None
    assert broken.seq == at + 1
    assert "missing" in broken.reason


@given(st.integers(3, 12), st.data())
def test_two_links_that_changed_places_are_located(count: int, data: st.DataObject) -> None:
    rows = chain_of(count)
    first, second = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=2, max_size=2)))
    rows[first], rows[second] = rows[second], rows[first]
    broken = first_break(rows)
    assert broken is not None
    assert broken.seq == first + 1


def test_a_link_whose_event_is_gone_is_located() -> None:
    rows = chain_of(4)
    rows[2] = (rows[2][0], None)
    assert first_break(rows) == Break(3, "its event is gone")


def test_a_replaced_link_with_a_hash_of_its_own_is_found_at_the_next() -> None:
    rows = chain_of(4)
    forged = {"number": "forged"}
    rows[1] = (next_link(rows[0][0].point, forged), forged)
    broken = first_break(rows)
    assert broken is not None
    assert broken.seq == 3
    assert "2" in broken.reason


def test_a_chain_rewritten_to_its_end_is_found_by_whoever_kept_a_point() -> None:
    rows = chain_of(6)
    kept = rows[3][0].point
    rewritten = rows[:1] + chain_of(6, rows[0][0].point)[:5]
    assert first_break(rewritten) is None
    broken = first_break(rewritten, GENESIS, kept)
    assert broken is not None
    assert broken.seq == kept.seq
    assert first_break(chain_of(2, Point(4, "sha256:other")), Point(4, "sha256:other"), kept) is not None


def test_a_cut_off_end_is_found_by_the_point_that_was_kept() -> None:
    rows = chain_of(6)
    assert first_break(rows[:4]) is None
    assert first_break(rows[:4], GENESIS, rows[5][0].point) == Break(5, "5 to 6 are missing from the end")
