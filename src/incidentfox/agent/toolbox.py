"""What a tool is, and the toolset that an agent gets: the tools its team has switched on, as far as they can work.

A tool is one module of `tools/` that binds `tool`. Its function is typed; the schema that a model sees comes from the
annotations and the docstring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic_ai import RunContext
from pydantic_ai import Tool as FunctionTool
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from incidentfox.agent import tools
from incidentfox.agent.scope import RunScope
from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.kernel.errors import Unprocessable
from incidentfox.kernel.registry import load_plugins

Context = RunContext[RunScope]
Effect = Literal["read", "write"]
Reads = Literal["signals", "runbooks"]


@dataclass(frozen=True)
class Tool:
    """One tool. `effect` says whether it changes anything outside; `needs` the signals without which it is no use.

    `reads` is "runbooks" for what searches the team's own texts: it is offered where there are some, and no root cause
    may rest on what it returns.

    `function(context, **typed arguments)` returns a JSON-able object of bounded size, the same for the same signals;
    it raises a Failure to tell the model why it cannot answer.
    """

    name: str
    effect: Effect
    function: Callable[..., Awaitable[dict[str, Any]]]
    needs: frozenset[Signal] = frozenset()
    reads: Reads = "signals"

    def has_what_it_needs(self, scope: RunScope) -> bool:
        """Whether it can be of use in this run."""
        return bool(scope.runbooks) if self.reads == "runbooks" else self.needs <= scope.signals

    @property
    def description(self) -> str:
        """The first paragraph of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n\n")[0]

    @cache  # noqa: B019 - the tools are those of the catalogue, which live as long as the process
    def definition(self) -> FunctionTool[RunScope]:
        """As an agent takes it. Made once: its schema costs more than many a tool's answer."""
        return FunctionTool(
            self.function,
            takes_ctx=True,
            name=self.name,
            sequential=True,  # one at a time, in order: that order is the order of durable steps
            require_parameter_descriptions=True,
            docstring_format="google",
        )


@cache
def catalogue() -> dict[str, Tool]:
    """Every tool of this release, by name."""
    found = load_plugins(tools, "tool", Tool)
    wrong = [name for name, tool in found.items() if tool.name != name]
    if wrong:
        raise TypeError(f"A tool is named as its module: {wrong}.")
    return found


def toolset(names: Iterable[str]) -> AbstractToolset[RunScope]:
    """The named tools; each is offered only where the run has what it needs."""
    known = catalogue()
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise Unprocessable(
            f"This agent has no tool {', '.join(map(repr, unknown))}. It has: {', '.join(sorted(known))}.",
            code="unknown_tool",
        )
    functions: FunctionToolset[RunScope] = FunctionToolset([known[name].definition() for name in wanted])
    return functions.filtered(lambda context, definition: known[definition.name].has_what_it_needs(context.deps))
