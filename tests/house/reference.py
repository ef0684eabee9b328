"""Generates docs/reference/ from the code: settings, error codes, API. `make docs` writes; a test finds drift."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings
from tests.environment import Trusted
from tests.house.services import FACTORIES, SETTINGS, build, routes_of

import incidentfox
from incidentfox.cli.settings import CliSettings
from incidentfox.kernel import errors
from incidentfox.kernel.web.examples import Step, StoryMaker
from incidentfox.kernel.web.openapi import permission_of
from incidentfox.local.settings import LocalSettings, MigrationSettings

ROOT = Path(__file__).parents[2]
_WIDTH = 112
_TITLES: dict[str, type[BaseSettings]] = {
    "Config Service (`incidentfox serve config-service`)": SETTINGS["config-service"],
    "Orchestrator (`incidentfox serve orchestrator` and `incidentfox serve worker`)": SETTINGS["orchestrator"],
    "Agent (`incidentfox serve agent`)": SETTINGS["agent"],
    "Console (`incidentfox serve console`)": SETTINGS["console"],
    "Migrations (`incidentfox migrate`)": MigrationSettings,
    "CLI": CliSettings,
    "Local installation (`incidentfox up`, `demo`, `down`)": LocalSettings,
}


def settings_page(_: Trusted) -> str:
    """Every environment variable by service."""
    lines = ["# Settings", "", "Generated from the settings classes by `make docs`. Variables of the environment."]
    for title, settings in _TITLES.items():
        lines += ["", f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        for name, field in settings.model_fields.items():
            variable = field.validation_alias or f"INCIDENTFOX_{name.upper()}"
            default = "required" if field.is_required() else f"`{field.default}`"
            lines.append(f"| `{variable}` | {default} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def errors_page(_: Trusted) -> str:
    """Every stable error code with its status."""
    codes: dict[str, set[str]] = {}
    _import_every_module()
    kinds = {kind.__name__: kind for kind in _tree(errors.Failure) if kind.__module__.startswith("incidentfox.")}
    for kind in kinds.values():
        codes.setdefault(kind.default_code, set()).add(f"{kind.status}")
    for path in sorted((ROOT / "src").rglob("*.py")):
        for status, code in _codes_in(path, kinds):
            codes.setdefault(code, set()).add(status)
    lines = [
        "# Error codes",
        "",
        "Generated from the code by `make docs`. Every error is `application/problem+json` (RFC 9457) with one of",
        "these codes, which never change their meaning. `detail` says what to do; `errors` points at fields.",
        "",
        "| code | status |",
        "|---|---|",
    ]
    lines += [f"| `{code}` | {', '.join(sorted(statuses))} |" for code, statuses in sorted(codes.items())]
    return "\n".join(lines) + "\n"


def api_page(trusted: Trusted) -> str:
    """Every route of every service with the permission that it needs."""
    lines = [
        "# API",
        "",
        "Generated from the route tables by `make docs`. Each service also serves `/openapi.json`. Calls that work:",
        "[the API by example](api-examples.md).",
    ]
    for service in FACTORIES:
        if service == "worker":
            continue
        lines += ["", f"## {service}", "", "| method | path | permission |", "|---|---|---|"]
        for route in routes_of(build(service, trusted)):
            methods = ", ".join(sorted((route.methods or set()) - {"HEAD"}))
            lines.append(f"| {methods} | `{route.path}` | {permission_of(route)} |")
    return "\n".join(lines) + "\n"


def examples_page(trusted: Trusted) -> str:
    """The stories of the services' examples, as calls of curl."""
    lines = [
        "# The API by example",
        "",
        "Generated from the examples of each `/openapi.json` by `make docs`; the tests send them to the real service,",
        "in this order. A variable such as `$ADA` holds the token that an earlier answer gave, or the signed token of",
        "a service (`$OPERATOR`: of the platform). The answers are in `/openapi.json`, each beside its operation.",
    ]
    for service in FACTORIES:
        story: StoryMaker | None = build(service, trusted).state.story
        if story is None:
            continue
        lines += ["", f"## {service}"]
        host = f"${service.replace('-', '_').upper()}"
        for step, _ in story().told():
            lines += ["", f"{step.title} (`{step.status}`):", "", *(f"    {line}" for line in _curl(step, host))]
    return "\n".join(lines) + "\n"


def _curl(step: Step, host: str) -> list[str]:
    """A call as one would type it."""
    url = f"{host}{step.call.partition(' ')[2]}"
    head = "curl" if step.method in ("GET", "POST" if step.body is not None else "GET") else f"curl -X {step.method}"
    parts = [f'{head} "{url}"']
    if step.caller != "nobody":
        parts.append(f'-H "Authorization: Bearer ${step.caller.upper()}"')
    parts += [f"-H '{name}: {value}'" for name, value in step.headers.items()]
    if step.body is not None:
        body = _readable(step.body).replace("'", "'\\''")
        parts += ["-H 'Content-Type: application/json'", f"-d '{body}'"]
    return "\n".join(_joined(parts)).splitlines()


def _joined(parts: list[str]) -> list[str]:
    """The parts of a command on as few lines as keep within the width."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _WIDTH and "\n" not in part:
            lines[-1] += f" {part}"
        else:
            lines[-1] += " \\"
            lines.append(f"  {part}")
    return lines


def _readable(value: Any, depth: int = 2) -> str:
    """JSON; what does not fit on a line is broken into one line for each member."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(whole) + depth < _WIDTH - 10 or not isinstance(value, dict | list):
        return whole
    is_object = isinstance(value, dict)
    members = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    inner = [
        (f"{json.dumps(key)}: " if is_object else "") + _readable(item, depth + 2 + (len(key) + 4 if key else 0))
        for key, item in members
    ]
    first, last = "{}" if is_object else "[]"
    broken = ",\n".join(inner).replace("\n", "\n  ")
    return f"{first}\n  {broken}\n{last}"


PAGES: dict[str, Callable[[Trusted], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "api.md": api_page,
    "api-examples.md": examples_page,
}


def _import_every_module() -> None:
    """So that the tree of errors is whole, whatever was imported before."""
    for module in pkgutil.walk_packages(incidentfox.__path__, "incidentfox."):
        if not module.name.endswith(".__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)


def _tree(kind: type[errors.Failure]) -> list[type[errors.Failure]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def _codes_in(path: Path, kinds: dict[str, Any]) -> list[tuple[str, str]]:
    """(status, code) of every `SomeFailure(…, code="…")` in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for keyword in node.keywords:
            if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and name in kinds:
                found.append((str(kinds[name].status), str(keyword.value.value)))
    return found


def main() -> None:
    """Writes all pages."""
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as keys:
        trusted = Trusted(Path(keys))
        for page, generate in PAGES.items():
            (folder / page).write_text(generate(trusted))


if __name__ == "__main__":
    main()
