"""The console's settings: what is wrong with them is said at the start."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from tests.console.conftest import console_settings
from tests.environment import Trusted

from incidentfox.console.settings import ConsoleSettings
from incidentfox.kernel.settings import SettingsError


@pytest.fixture
def settings(trusted: Trusted) -> ConsoleSettings:
    return console_settings(trusted, "http://127.0.0.1:1", "HTTPS://Fox.Example.com:8443/")


def test_origin_is_as_browsers_write_it(settings: ConsoleSettings) -> None:
    assert settings.origin == "https://fox.example.com:8443"
    assert settings.is_https


@pytest.mark.parametrize("content", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_key_of_the_wrong_form_is_refused(settings: ConsoleSettings, tmp_path: Path, content: str) -> None:
    key = tmp_path / "key"
    key.write_text(content)
    with pytest.raises(SettingsError, match="INCIDENTFOX_SESSION_KEY_FILE"):
        settings.model_copy(update={"session_key_file": key}).session_keyring()


def test_a_key_that_is_absent_is_named(settings: ConsoleSettings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.model_copy(update={"session_key_file": tmp_path / "none"}).session_keyring()


def test_the_application_is_made_from_the_environment(trusted: Trusted) -> None:
    """In a process of its own, since it also sets the process's logging and tracing."""
    program = "from incidentfox.console.main import app; print(app().title)"
    made = subprocess.run(
        [sys.executable, "-c", program], env=trusted.environment("console"), capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == "IncidentFox console"
