"""Logs are JSON, carry the correlation id, and never a secret."""

from __future__ import annotations

import json
import logging

import pytest

from incidentfox.kernel.logging import accept_correlation_id, configure_logging, correlated, get_logger


def test_a_line_has_the_correlation_id_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        configure_logging("agent")
        with correlated("cor_12345678"):
            get_logger("test").info("called", bot_token="xoxb-1", Authorization="Bearer abc", team="checkout")
            logging.getLogger("library").warning("theirs")
    finally:
        logging.getLogger().handlers[:] = before
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines()[-2:])
    assert ours["correlation_id"] == theirs["correlation_id"] == "cor_12345678"
    assert ours["service"] == "agent"
    assert ours["team"] == "checkout"
    assert ours["bot_token"] == ours["Authorization"] == "[redacted]"


@pytest.mark.parametrize(
    "offered", [None, "", "short", "with space in it", "x" * 200, "newline\ninjected", "newline-at-end\n"]
)
def test_a_malformed_correlation_id_is_replaced(offered: str | None) -> None:
    assert accept_correlation_id(offered).startswith("cor_")


def test_a_good_one_is_kept() -> None:
    assert accept_correlation_id("req-2026:11.24_a") == "req-2026:11.24_a"
