"""The runbook search on texts whose answer is known: sections, BM25 by hand, whom a runbook is about, the next step."""

from __future__ import annotations

import math

import pytest

from incidentfox.analysis.markdown import read_sections
from incidentfox.analysis.runbooks import MOST_CHARACTERS, RunbookText, concerns, find_sections, next_step

POOL = RunbookText(
    key="pool",
    title="Connection pool exhausted",
    text="""\
# Connection pool exhausted

Callers wait for a connection and give up.

## Symptoms

`pool_wait_seconds` rises; the log says "timeout acquiring connection".

## Mitigation

1. Roll back the last deploy: `shopctl rollback orders`.
2. If it persists, raise `max_open`.

## Escalation

Page the database team.
""",
    services=("orders", "checkout-*"),
    url="https://wiki.test/pool",
)
CERTIFICATE = RunbookText(
    key="certificate",
    title="Certificate expired",
    text="## How to see it\n\nx509 errors in the handshake.\n\n## Renew\n\nRun `certctl renew` for the host.",
)
MAIL = RunbookText("mail", "Mail is late", "The queue of the mailer grows. A timeout is harmless.", ("mailer",))
EVERYTHING = (POOL, CERTIFICATE, MAIL)


# -- sections ----------------------------------------------------------------------------------------------------------


def test_sections_have_their_headings_and_code_has_none() -> None:
    text = """\
Before.

# One #

Text of one.

```sh
# no heading

still code
```

## Two

Sub
---

Below.

- item
---

####### seven
#nospace
"""
    assert [(one.headings, one.text) for one in read_sections(text, 1000)] == [
        ((), "Before."),
        (("One",), "Text of one.\n\n```sh\n# no heading\n\nstill code\n```"),
        (("One", "Sub"), "Below.\n\n- item\n---\n\n####### seven\n#nospace"),
    ]


def test_a_long_section_is_parted_between_paragraphs_and_nothing_is_lost() -> None:
    paragraphs = [f"paragraph {number} " + "x" * 100 for number in range(20)]
    pieces = read_sections("# Long\n\n" + "\n\n".join(paragraphs) + "\n\n" + "y" * 1000, 300)
    assert {one.headings for one in pieces} == {("Long",)}
    assert all(len(one.text) <= 300 for one in pieces)
    assert "".join(one.text for one in pieces).replace("\n", "") == "".join(paragraphs) + "y" * 1000


@pytest.mark.parametrize(
    "text", ["#" * 30_000, "# " + " #" * 15_000, "`" * 30_000, "=\n" * 15_000, " \t" * 15_000 + "x"]
)
def test_no_text_takes_long(text: str) -> None:
    assert len(read_sections(text, 1200)) < 100


# -- ranking -----------------------------------------------------------------------------------------------------------


def test_the_score_is_bm25_by_hand() -> None:
    one = RunbookText("one", "", "alpha beta")
    two = RunbookText("two", "", "alpha alpha gamma delta")
    found = find_sections((one, two), "alpha gamma")
    common, rare = math.log(1 + 0.5 / 2.5), math.log(1 + 1.5 / 1.5)  # in 2 of 2 sections, in 1 of 2
    first = common * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3)) + rare * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 4 / 3))
    second = common * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3))
    assert [(one.runbook, one.score) for one in found] == [
        ("two", round(1.5 * first, 4)),
        ("one", round(1.5 * second, 4)),
    ]
    assert [one.matched for one in found] == [("alpha", "gamma"), ("alpha",)]


def test_the_section_that_speaks_of_it_is_first_and_its_runbook_follows() -> None:
    found = find_sections(EVERYTHING, "timed out: timeout acquiring connections from pool", ["orders"])
    assert (found[0].runbook, found[0].heading) == ("pool", "Symptoms")
    # The remedy is not written in the words of the symptom: it is found for its runbook's sake.
    assert {(one.runbook, one.heading) for one in found[1:]} == {
        ("pool", ""),
        ("pool", "Mitigation"),
        ("pool", "Escalation"),
    }
    assert found[0].url == "https://wiki.test/pool"
    assert found[0].title == "Connection pool exhausted"


def test_a_heading_weighs_more_than_a_paragraph() -> None:
    text = "# Failover\n\nPromote the standby.\n\n# History\n\nWe once had a failover here, in spring."
    assert find_sections([RunbookText("db", "Database", text)], "failover")[0].heading == "Failover"


def test_runbooks_about_others_are_left_out_and_those_about_everybody_are_not() -> None:
    assert {one.runbook for one in find_sections(EVERYTHING, "timeout handshake", ["orders"])} == {
        "pool",
        "certificate",
    }
    assert {one.runbook for one in find_sections(EVERYTHING, "timeout handshake")} == {"pool", "certificate", "mail"}


def test_without_a_common_word_there_is_what_names_the_service() -> None:
    found = find_sections(EVERYTHING, "zebra", ["mailer"])
    assert [(one.runbook, one.score) for one in found] == [("mail", 0.0)]
    assert find_sections(EVERYTHING, "zebra") == []
    assert find_sections((), "timeout") == []
    assert find_sections([RunbookText("empty", "Empty", "# Only a heading")], "heading") == []


def test_the_order_of_the_runbooks_does_not_matter() -> None:
    question = ("timeout handshake renew queue", ())
    assert find_sections(EVERYTHING, *question) == find_sections(EVERYTHING[::-1], *question)


def test_excerpts_are_bounded() -> None:
    found = find_sections([RunbookText("long", "Long", "word " * 5000)], "word")
    assert max(len(one.excerpt) for one in found) <= MOST_CHARACTERS


@pytest.mark.parametrize(
    ("patterns", "services", "expected"),
    [
        (("orders",), ("Orders",), True),
        (("orders",), ("orders-api",), False),
        (("checkout-*",), ("x", "checkout-eu"), True),
        (("*-db",), ("orders-db",), True),
        (("a*b*c",), ("a-b-b-c",), True),
        (("a*b*b",), ("ab",), False),
        (("ab*ba",), ("aba",), False),
        ((), ("orders",), False),
    ],
)
def test_whom_a_runbook_is_about(patterns: tuple[str, ...], services: tuple[str, ...], expected: bool) -> None:
    assert concerns(patterns, services) is expected


# -- the next step -----------------------------------------------------------------------------------------------------


def heading_of_step(query: str, services: list[str], remedy: object) -> str | None:
    step = next_step(find_sections(EVERYTHING, query, services), services, remedy)  # type: ignore[arg-type]
    return f"{step.runbook}: {step.heading}" if step else None


def test_the_next_step_is_the_remedy_of_the_verdict_else_an_action() -> None:
    symptom = "timeout acquiring connection"
    assert heading_of_step(symptom, ["orders"], "rollback") == "pool: Mitigation"
    assert heading_of_step(symptom, ["checkout-eu"], None) == "pool: Mitigation"
    assert heading_of_step(symptom, ["orders"], "escalate-upstream") == "pool: Escalation"
    assert heading_of_step("x509 certificate expired", ["orders"], "rotate-cert") == "certificate: Renew"


def test_a_runbook_about_others_is_no_step_even_where_a_model_looked_for_it() -> None:
    found = find_sections([MAIL], "queue of the mailer: timeout")
    assert len(found[0].matched) >= 2
    assert next_step(found, ["orders"], None) is None
    assert next_step(found, ["mailer"], None) == found[0]


def test_a_runbook_for_everybody_must_be_about_it() -> None:
    everywhere = RunbookText("pool", POOL.title, POOL.text, ("*",))
    assert find_sections([everywhere], "acquiring", ["x"]) == find_sections([everywhere], "acquiring")
    assert next_step(find_sections([everywhere], "acquiring", ["x"]), ["x"], None) is None
    assert next_step(find_sections([everywhere], "acquiring a connection", ["x"]), ["x"], None) is not None
    assert heading_of_step("handshake", ["frontend"], "rollback") is None
    assert heading_of_step("host run", ["frontend"], "rollback") is None
    assert heading_of_step("timeout", ["frontend"], "rollback") is None
    assert heading_of_step("zebra", ["mailer"], "rollback") is None
