"""What the shell completes for values that a command takes as text: known on the spot, without asking a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources


def among(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """For `autocompletion=` of an argument or option: those of the values that begin as what was typed."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values() if value.startswith(incomplete)]

    return complete


def sources() -> list[str]:
    """The sources of webhooks that this release has. Each is one file in one folder; none is imported."""
    folder = resources.files("incidentfox").joinpath("orchestrator", "webhooks", "sources")
    names = (file.name for file in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name.removesuffix(".py") for name in names if name.endswith(".py") and not name.startswith("_"))


def run_states() -> list[str]:
    """The states that a run can be in."""
    from incidentfox.contracts.runs import RunStatus

    return list(RunStatus)
