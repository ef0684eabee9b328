"""Finds plug-ins by folder: a source, tool, provider or destination is a module that binds one object.

Nobody edits a list: drop a file into the folder, and the registry has it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

Plugin = TypeVar("Plugin")


def load_plugins(package: ModuleType, attribute: str, kind: type[Plugin]) -> dict[str, Plugin]:
    """Every `attribute` bound by the modules of `package`, by module name.

    Raises TypeError for a module that binds nothing or the wrong thing: a plug-in that is silently absent would be
    found out at 3 am. Modules whose name starts with `_` are not plug-ins.
    """
    found: dict[str, Plugin] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        plugin = getattr(module, attribute, None)
        if not isinstance(plugin, kind):
            raise TypeError(f"{module.__name__} must bind `{attribute}` to a {kind.__name__}.")
        found[module_info.name] = plugin
    return found
