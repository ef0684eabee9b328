"""Each import contract is proven by breaking it: a rule that nothing can violate protects nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS = {
    "a service imports another": ("orchestrator/worker.py", "import incidentfox.agent", "The floors of the house"),
    "contracts import a service": ("contracts/tree.py", "import incidentfox.agent", "The floors of the house"),
    "kernel imports clients": ("kernel/ids.py", "import incidentfox.clients", "The floors of the house"),
    "a service imports the CLI": ("agent/api.py", "import incidentfox.cli", "The floors of the house"),
    "a package without a floor": ("billing/__init__.py", "", "The floors of the house"),
    "contracts import more than pydantic": ("contracts/tree.py", "import httpx2", "contracts import pydantic only"),
    "web imports db": (
        "kernel/web/app.py",
        "import incidentfox.kernel.db.session",
        "kernel/web never imports kernel/db",
    ),
    "the agent imports SQLAlchemy": (
        "agent/api.py",
        "import sqlalchemy",
        "agent, console and CLI never import SQLAlchemy or kernel/db",
    ),
    "the console imports kernel/db": (
        "console/main.py",
        "import incidentfox.kernel.db.session",
        "agent, console and CLI never import SQLAlchemy or kernel/db",
    ),
    "dbos outside durable": ("agent/api.py", "import dbos", "only kernel/durable imports dbos"),
    "a second door to Kubernetes": (
        "orchestrator/worker.py",
        "import lightkube",
        "Kubernetes behind two doors",
    ),
    "analysis does I/O": ("analysis/signals.py", "import httpx2", "analysis performs no I/O"),
    "rules reach for the store": (
        "config_service/routing/rules.py",
        "import incidentfox.config_service.routing.store",
        "Inside a domain: api, service, store, tables, rules",
    ),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", str(folder / ".importlinter"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_the_code_as_it_stands_keeps_every_contract(checkout: Path) -> None:
    result = lint(checkout)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_found(checkout: Path, violation: str) -> None:
    file, line, contract = VIOLATIONS[violation]
    target = checkout / "src" / "incidentfox" / file
    target.parent.mkdir(exist_ok=True)
    with target.open("a") as source:
        source.write(f"\n{line}\n")
    result = lint(checkout)
    assert result.returncode != 0
    assert contract in result.stdout or "billing" in result.stdout, result.stdout


def test_every_domain_has_its_layers_checked() -> None:
    contract = (ROOT / ".importlinter").read_text().partition("[importlinter:contract:domain-layers]")[2]
    domains = {
        ".".join(path.parent.relative_to(ROOT / "src").parts)
        for service in ("config_service", "orchestrator")
        for path in (ROOT / "src" / "incidentfox" / service).glob("*/__init__.py")
        if len(list(path.parent.glob("*.py"))) > 1
    }
    assert domains == {line.strip() for line in contract.splitlines() if line.strip() in domains}
