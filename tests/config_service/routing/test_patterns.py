"""Service patterns: what they match, and which one of several decides."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from incidentfox.config_service.routing.normal_forms import NormalIdentifier
from incidentfox.config_service.routing.patterns import MAX_PATTERN, best, matches, normalise_pattern, prefixes

TEXT = st.text(alphabet="abc*-. ", max_size=12)


def pattern(text: str) -> NormalIdentifier:
    found = normalise_pattern(text)
    assert found is not None
    return found


@given(TEXT, st.text(alphabet="abc-. ", max_size=12))
@example("a*a", "a")
@example("ab*ba", "aba")
@example("*a*", "a")
def test_a_pattern_means_what_a_regular_expression_of_its_parts_means(glob: str, service: str) -> None:
    expression = ".*".join(re.escape(part) for part in glob.split("*"))
    if "*" in glob:
        assert matches(glob, service) == (re.fullmatch(expression, service) is not None)


@given(TEXT)
def test_a_normal_form_is_its_own(text: str) -> None:
    once = normalise_pattern(text)
    if once is not None:
        assert normalise_pattern(once.value) == once
        assert once.value.startswith(f"{once.name}*")


@pytest.mark.parametrize("text", ["", "checkout", "*", "**", " * ", "x" * MAX_PATTERN + "*"])
def test_what_is_no_pattern_has_no_normal_form(text: str) -> None:
    assert normalise_pattern(text) is None


def test_spellings_of_one_pattern_are_one() -> None:
    assert (
        pattern("Checkout-**")
        == pattern(" checkout-* ")
        == NormalIdentifier("service_pattern", "checkout-", "checkout-*")
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "patterns", "decides"),
    [
        ("checkout-api", ["*", "check*", "checkout-*", "c*"], "checkout-*"),
        ("checkout-api", ["checkout-*", "checkout-*i", "checkout-*api"], "checkout-*api"),
        ("checkout-api", ["checkout-*p*", "checkout-*a*"], "checkout-*a*"),
        ("checkout-api", ["*-api", "c*"], "c*"),
        ("cart", ["checkout-*"], None),
    ],
)
def test_the_longest_literal_beginning_decides_then_the_most_literal_text_then_the_alphabet(
    service: str, patterns: list[str], decides: str | None
) -> None:
    owned = [found for text in patterns if (found := normalise_pattern(text)) is not None]
    for order in (owned, owned[::-1]):
        found = best(service, order)
        assert (found.value if found is not None else None) == decides


def test_the_work_of_one_look_up_is_bounded() -> None:
    assert len(prefixes("x" * 512)) == MAX_PATTERN
