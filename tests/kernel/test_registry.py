"""Plug-ins are found by folder, and a broken one is loud."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from incidentfox.kernel.registry import load_plugins


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "some_plugins"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "first.py").write_text("plugin = 'one'\n")
    (folder / "_shared.py").write_text("not_a_plugin = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("some_plugins")
    for name in [name for name in sys.modules if name.startswith("some_plugins")]:
        del sys.modules[name]


def test_a_file_in_the_folder_is_a_plug_in(package: ModuleType) -> None:
    assert load_plugins(package, "plugin", str) == {"first": "one"}


def test_a_file_that_binds_nothing_is_an_error(package: ModuleType) -> None:
    (Path(package.__path__[0]) / "second.py").write_text("plugin = 2\n")
    importlib.invalidate_caches()
    with pytest.raises(TypeError, match=r"some_plugins\.second must bind `plugin` to a str"):
        load_plugins(package, "plugin", str)
