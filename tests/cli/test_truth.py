"""Nothing but the scoring can reach the truth: by the code, before any test by behaviour."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from incidentfox.cli.evaluation.truth import TruthProblem, read_truth

SOURCES = sorted((Path(__file__).parents[2] / "src" / "incidentfox").rglob("*.py"))


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return strings | names


def test_one_module_knows_the_name_of_the_file_and_one_asks_it() -> None:
    known = {path: names_in(path) for path in SOURCES}
    assert [path.name for path in SOURCES if "truth.json" in known[path]] == ["truth.py"]
    assert [path.name for path in SOURCES if "TRUTH_FILE" in known[path]] == []
    assert [path.name for path in SOURCES if "read_truth" in known[path]] == ["evaluating.py"]


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"root_cause_commit": ""}', '{"root_cause_commit": 7}'])
def test_a_truth_that_is_none_is_said_and_not_guessed(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "truth.json").write_text(text)
    with pytest.raises(TruthProblem):
        read_truth(tmp_path)
