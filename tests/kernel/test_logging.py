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


def test_text_that_looks_like_a_secret_is_hidden_whoever_logs_it_and_in_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "ghp_" + "a1B2" * 9
    before = logging.getLogger().handlers[:]
    try:
        configure_logging("agent")
        get_logger("test").info(f"called with {secret}", detail={"urls": [f"https://kim:{secret}@git.test/x"]})
        logging.getLogger("library").warning("theirs %s", secret)
        try:
            raise ValueError(secret)
        except ValueError:
            get_logger("test").exception("failed")
    finally:
        logging.getLogger().handlers[:] = before
    written = capsys.readouterr().err
    assert secret not in written
    lines = [json.loads(line) for line in written.splitlines()[-3:]]
    assert lines[0]["detail"] == {"urls": ["https://[redacted:credentials]@git.test/x"]}
    assert "ValueError: [redacted:github-token]" in lines[2]["exception"]


@pytest.mark.parametrize(
    "offered", [None, "", "short", "with space in it", "x" * 200, "newline\ninjected", "newline-at-end\n"]
)
def test_a_malformed_correlation_id_is_replaced(offered: str | None) -> None:
    assert accept_correlation_id(offered).startswith("cor_")


def test_a_good_one_is_kept() -> None:
    assert accept_correlation_id("req-2026:11.24_a") == "req-2026:11.24_a"
