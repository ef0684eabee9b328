"""Ids say what they are of and sort by time."""

from __future__ import annotations

import time

import pytest
import time_machine

from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.ids import new_id, require_id


def test_ids_sort_by_the_time_they_were_made() -> None:
    start = time.time()
    ids = []
    for second in range(20):
        with time_machine.travel(start + second, tick=False):
            ids.append(new_id("run"))
    assert ids == sorted(ids)


def test_ids_are_distinct() -> None:
    assert len({new_id("run") for _ in range(10_000)}) == 10_000


def test_an_id_of_another_kind_is_refused() -> None:
    run = new_id("run")
    assert require_id(run, "run") == run
    for wrong in (new_id("dlv"), "run_", "run_" + "u" * 26, run.upper(), run + "0", f"{run}\n"):
        with pytest.raises(Invalid):
            require_id(wrong, "run")
