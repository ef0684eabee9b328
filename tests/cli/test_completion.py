"""Completion in the shell: nouns, verbs, options and the values that are known on the spot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.installation import app
from typer.testing import CliRunner

from incidentfox.cli.completion import sources
from incidentfox.contracts.change_requests import ChangeRequestStatus
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.runs import RunStatus
from incidentfox.kernel.registry import load_plugins
from incidentfox.local.commands import SERVICE_MODULES
from incidentfox.orchestrator.webhooks import sources as folder
from incidentfox.orchestrator.webhooks.source import Source

HEAVY = ("httpx2", "numpy", "sqlalchemy", "incidentfox.contracts.configuration")


def completed(line: str) -> list[str]:
    """What the shell is offered at the end of the line."""
    words = line.split(" ")
    variables = {
        "_INCIDENTFOX_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return CliRunner().invoke(app, [], prog_name="incidentfox", env=variables).stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("incidentfox c", ["config", "change-request"]),
        ("incidentfox config p", ["put", "patch"]),
        ("incidentfox audit v", ["verify"]),
        ("incidentfox config patch team --i", ["--if-match"]),
        ("incidentfox serve ", list(SERVICE_MODULES)),
        ("incidentfox run list --status s", ["succeeded"]),
        ("incidentfox run list --status ", list(RunStatus)),
        ("incidentfox change-request list --status ", list(ChangeRequestStatus)),
        ("incidentfox token create ci --role ", list(Role)),
        ("incidentfox node create web --kind u", ["unit"]),
        ("incidentfox endpoint create --source ", sources()),
        ("incidentfox route explain --source p", ["pagerduty"]),
    ],
)
def test_what_is_known_is_offered(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_the_sources_are_those_of_the_registry() -> None:
    assert sources() == sorted(load_plugins(folder, "SOURCE", Source))  # type: ignore[type-abstract]


def test_nouns_and_verbs_complete_in_bash_and_import_nothing_heavy() -> None:
    program = Path(sys.executable).with_name("incidentfox")
    script = f"""
        set -e
        PATH={program.parent}:$PATH
        eval "$(_INCIDENTFOX_COMPLETE=source_bash incidentfox)"
        COMP_WORDS=(incidentfox conf); COMP_CWORD=1; _incidentfox_completion incidentfox; echo "${{COMPREPLY[*]}}"
        COMP_WORDS=(incidentfox config pa); COMP_CWORD=2
        export PYTHONPROFILEIMPORTTIME=1
        _incidentfox_completion incidentfox; echo "${{COMPREPLY[*]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["config", "patch"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "incidentfox.cli.configuration_text" in imported
    assert imported.isdisjoint(HEAVY)
