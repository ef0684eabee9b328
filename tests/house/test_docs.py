"""The documents are part of the code: every path they name exists, and the generated ones are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.environment import Trusted
from tests.house import reference

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
_PATH = re.compile(r"`((?:src|tests|docs|deploy|requirements)/[A-Za-z0-9_./{},-]+|[a-z_]+/[a-z_/]+\.py)`")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_a_document_exists(document: Path) -> None:
    text = document.read_text()
    named = [path for path in _PATH.findall(text) if "{" not in path]
    missing = [path for path in named if not (ROOT / path).exists() and not (ROOT / "src/incidentfox" / path).exists()]
    missing += [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing


def test_the_tour_names_real_functions() -> None:
    """`path.py:name` in the tour means: that file defines that name."""
    tour = (ROOT / "docs" / "life-of-a-webhook.md").read_text()
    named = re.findall(r"`([a-z_/]+\.py):([A-Za-z_.]+)`", tour)
    assert len(named) >= 8
    for path, name in named:
        source = (ROOT / "src" / "incidentfox" / path).read_text()
        last = name.rpartition(".")[2]
        assert re.search(rf"(def|class) {last}\b", source), f"{path} has no {name}"


@pytest.mark.parametrize("adr", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.name)
def test_an_adr_is_short_and_says_what_enforces_it(adr: Path) -> None:
    text = adr.read_text()
    assert len(text.splitlines()) <= 60
    for heading in ("## Context", "## Decision", "## Consequences", "## Enforced by"):
        assert heading in text


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_reference_is_up_to_date(page: str, trusted: Trusted) -> None:
    """Renew with `make docs`."""
    assert (ROOT / "docs" / "reference" / page).read_text() == reference.PAGES[page](trusted)
