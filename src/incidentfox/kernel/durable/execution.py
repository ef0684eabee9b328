"""One run of a workflow's function in this process, and how a step finds the run it belongs to."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Execution:
    """Made by the worker that runs it; over when `task` is."""

    workflow_id: str
    owner: str
    """The token in the workflow's row that makes this run, and no other, its owner."""
    task: asyncio.Task[Any]
    steps: int = 0
    """Steps begun so far, which numbers them."""
    in_flight: int = 0
    """Steps running at this moment."""


current: ContextVar[Execution | None] = ContextVar("durable_execution", default=None)


def current_execution() -> Execution:
    """The run that the caller is part of; RuntimeError outside a workflow."""
    execution = current.get()
    if execution is None:
        raise RuntimeError("Steps exist only inside a workflow.")
    return execution
