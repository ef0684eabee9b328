"""Nouns of the CLI that are imported when one of their commands is called, so that `--help` stays quick.

A noun's module brings its wire models with it, and building those takes longer than printing the help.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Noun:
    """Where a noun's commands are, and the line that the help shows.

    `attribute` of `module` is a `typer.Typer`, or the function of a noun that is a command by itself.
    """

    module: str
    help: str
    attribute: str = "app"


def group_of(nouns: Mapping[str, Noun]) -> type[TyperGroup]:
    """The class of a command group that has these nouns beside the commands that are added to it."""

    class Nouns(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return [*super().list_commands(ctx), *nouns]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            noun = nouns.get(cmd_name)
            return super().get_command(ctx, cmd_name) if noun is None else _Unloaded(cmd_name, noun)

    return Nouns


class _Unloaded(TyperGroup):
    """Stands for a noun in the help; whoever calls it gets the real one."""

    def __init__(self, name: str, noun: Noun) -> None:
        super().__init__(name=name, help=noun.help)
        self._noun = noun

    def make_context(self, *args: Any, **extra: Any) -> Any:
        return self._load().make_context(*args, **extra)

    def _load(self) -> Any:
        found = getattr(importlib.import_module(self._noun.module), self._noun.attribute)
        parent = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            parent.add_typer(found, name=self.name)
        else:
            parent.command(self.name)(found)
        return get_group(parent).commands[str(self.name)]
