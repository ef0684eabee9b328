"""Logs are JSON, carry the correlation id, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from incidentfox.kernel.logging import accept_correlation_id, configure_logging, correlated, get_logger


@contextmanager
def logs_of_a_process(level: str = "INFO") -> Iterator[None]:
    """Logs set up as a process sets them up. In the test itself: the handlers of pytest change between phases."""
    handlers, config = logging.getLogger().handlers[:], structlog.get_config()
    configure_logging("agent", level)
    try:
        yield
    finally:
        structlog.configure(**config)
        logging.getLogger().handlers[:] = handlers


def test_a_line_has_the_correlation_id_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with logs_of_a_process(), correlated("cor_12345678"):
        get_logger("test").info("called", bot_token="xoxb-1", Authorization="Bearer abc", team="checkout")
        logging.getLogger("library").warning("theirs")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines()[-2:])
    assert ours["correlation_id"] == theirs["correlation_id"] == "cor_12345678"
    assert ours["service"] == "agent"
    assert ours["team"] == "checkout"
    assert ours["bot_token"] == ours["Authorization"] == "[redacted]"


def test_text_that_looks_like_a_secret_is_hidden_whoever_logs_it_and_in_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "ghp_" + "a1B2" * 9
    with logs_of_a_process():
        get_logger("test").info(f"called with {secret}", detail={"urls": [f"https://kim:{secret}@git.test/x"]})
        logging.getLogger("library").warning("theirs %s", secret)
        try:
            raise ValueError(secret)
        except ValueError:
            get_logger("test").exception("failed")
            logging.getLogger("library").exception("failed %s", secret)
    written = capsys.readouterr().err
    assert secret not in written
    lines = [json.loads(line) for line in written.splitlines()[-4:]]
    assert lines[0]["detail"] == {"urls": ["https://[redacted:credentials]@git.test/x"]}
    for line in lines[2:]:
        assert "ValueError: [redacted:github-token]" in line["exception"]
        assert line["level"] == "error"


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    with logs_of_a_process("WARNING"):
        get_logger("test").info("quiet")
        get_logger("test").warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_a_log_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with logs_of_a_process():
        log = get_logger("test")
        log.info("written")
        assert "written" in stream.getvalue()
        stream.close()
        log.info("lost")


@pytest.mark.parametrize(
    "offered",
    [None, "", "short", "with space in it", "x" * 200, "newline\ninjected", "newline-at-end\n", "ghp_" + "a1B2" * 9],
)
def test_a_malformed_correlation_id_is_replaced(offered: str | None) -> None:
    assert accept_correlation_id(offered).startswith("cor_")


def test_a_good_one_is_kept() -> None:
    assert accept_correlation_id("req-2026:11.24_a") == "req-2026:11.24_a"
