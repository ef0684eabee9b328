"""The lazily imported nouns: the help knows them all, and pays for none."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from incidentfox.cli.app import NOUNS, app

HEAVY = ("pydantic", "httpx2", "asyncio", "numpy", "sqlalchemy")


@pytest.mark.parametrize("name", NOUNS)
def test_each_noun_is_there_and_says_what_the_tree_says(name: str) -> None:
    noun = NOUNS[name]
    found = getattr(importlib.import_module(noun.module), noun.attribute)
    if isinstance(found, typer.Typer):
        assert found.info.help == noun.help
    shown = CliRunner().invoke(app, [name, "--help"], prog_name="incidentfox")
    assert shown.exit_code == 0
    assert f"incidentfox {name}" in shown.output
    assert "--install-completion" not in shown.output


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from incidentfox.__main__ import app, register; register(app)\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "investigate" in done.stdout
    assert done.stderr.strip() == "[]"


def test_a_command_that_does_not_exist_is_refused() -> None:
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2
