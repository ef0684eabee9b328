"""The sizes that keep the code readable: hard limits here, tighter guides in CONTRIBUTING.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
MAX_FUNCTION_LINES = 100
FORBIDDEN_MODULES = {"utils", "helpers", "common", "core", "manager", "base", "misc"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_function_is_over_100_lines() -> None:
    long = [
        f"{path}:{function.lineno} {function.name}"
        for path in SOURCES
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for path in SOURCES if path.stem in FORBIDDEN_MODULES or path.stem.endswith("_v2")]


def test_exception_is_caught_only_at_the_edges() -> None:
    """The worker, the tool boundary, the problem handler (house rule 6). To clean up and raise again is no catching."""
    edges = {
        "agent/policy.py",
        "agent/workflow.py",
        "orchestrator/dispatch/workflow.py",
        "kernel/durable/watch.py",
        "kernel/durable/worker.py",
    }
    broad = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        if not any(str(path).endswith(edge) for edge in edges) and "shop/releases" not in str(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not raises_again(node)
    ]
    assert not broad


def is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or getattr(handler.type, "id", "") in {"Exception", "BaseException"}


def raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(path.parents[3])))
def test_public_things_have_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert (path.name == "__init__.py" and not tree.body) or ast.get_docstring(tree), "the module"
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not missing
