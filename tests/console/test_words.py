"""Values in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.console import investigation

from incidentfox.console import words
from incidentfox.contracts.answer import Remediation
from incidentfox.contracts.runs import Run, RunInput, RunStatus

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def spaced(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def run(status: RunStatus, *, solved: bool | None = None) -> Run:
    answers = {True: investigation.answer("run_1"), False: investigation.undecided("run_1")}
    return Run(
        run_id="run_1",
        org_id="acme",
        team_node_id="shop-sre",
        status=status,
        input=investigation.alert(),
        source="pagerduty",
        delivery_id=None,
        incident_id=None,
        correlation_id="cor_12345678",
        config_hash=None,
        answer=None if solved is None else answers[solved],
        error=None,
        usage=investigation.NO_USAGE,
        created_at=NOW,
        started_at=None,
        finished_at=None,
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.32, "320 ms"),
        (0.9996, "1.0 s"),
        (4.23, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
        (-5, "0 ms"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert spaced(words.duration(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-3, "just now"),
        (12, "12 s ago"),
        (185, "3 min ago"),
        (7300, "2 h ago"),
        (5 * 86400, "5 d ago"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert spaced(words.ago(NOW - timedelta(seconds=seconds), NOW)) == text


def test_moments_are_told_from_the_start() -> None:
    assert spaced(words.since(NOW, NOW)) == "0 s"
    assert spaced(words.since(NOW, NOW + timedelta(seconds=0.42))) == "+420 ms"
    assert spaced(words.since(NOW, NOW - timedelta(seconds=182))) == "−3 min 2 s"


def test_confidence_is_never_rounded_up_to_certainty() -> None:
    assert spaced(words.percent(0.999)) == "99 %"
    assert spaced(words.percent(1.0)) == "100 %"
    assert [words.confidence_word(share) for share in (0.9, 0.7, 0.4, 0.1)] == ["High", "Moderate", "Low", "Very low"]


@pytest.mark.parametrize("status", list(RunStatus))
def test_every_state_has_a_word_and_an_icon(status: RunStatus) -> None:
    shown = words.badge(run(status, solved=True if status is RunStatus.SUCCEEDED else None))
    assert shown.word
    assert shown.icon


def test_a_run_that_found_nothing_is_told_apart() -> None:
    assert words.badge(run(RunStatus.SUCCEEDED, solved=True)).word == "Cause found"
    assert words.badge(run(RunStatus.SUCCEEDED, solved=False)).word == "Not enough evidence"


def test_every_remediation_is_an_instruction() -> None:
    for remediation in Remediation.__args__:  # type: ignore[attr-defined]
        assert words.next_step(remediation)


def test_changes_are_shortened_as_git_does_and_flags_are_not() -> None:
    assert words.short_change(investigation.COMMIT) == "7c1e9a40d2"
    assert words.short_change("checkout-banner-everywhere") == "checkout-banner-everywhere"
    assert words.short_hash(investigation.CONFIG_HASH) == "4be1c07f6a2d"


def test_a_run_is_titled_even_without_an_alert() -> None:
    assert words.alert_title(RunInput(prompt="Why is checkout slow?\nLook at orders.")) == "Why is checkout slow?"
    assert words.alert_title(RunInput(prompt="  ")) == "Untitled run"


def test_small_costs_are_not_nothing() -> None:
    assert [words.money(value) for value in (0, 0.0417, 1.5)] == ["$0.00", "$0.0417", "$1.50"]
