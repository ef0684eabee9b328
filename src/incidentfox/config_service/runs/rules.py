"""What a run's ending may be, when two endings are one, and how it is said that a run is over or absent. Pure.

The order of states is the database's to enforce.
"""

from __future__ import annotations

from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.runs import FINISHED, CreateRun, FinishRun, Run, RunStatus
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, NotFound, Unprocessable


def fingerprint(request: CreateRun) -> str:
    """What tells two creations of one run id apart."""
    return content_hash(request.model_dump(mode="json", by_alias=True, exclude={"timeline"}))


def ending(finished: FinishRun) -> str:
    """What tells two endings apart: the outcome, not what it took.

    A worker that repeats its last step after a crash reports the same outcome, perhaps after a longer time.
    """
    answer = finished.answer and finished.answer.model_dump(mode="json", exclude={"usage", "duration_s"})
    return content_hash([finished.status.value, answer, finished.error])


def judge_ending(run_id: str, finished: FinishRun) -> None:
    """Raises Unprocessable for an ending that does not hold together."""
    if finished.status not in FINISHED:
        raise _refused("/status", f"{finished.status.value} is not an end; use one of {_names()}.")
    if finished.status is RunStatus.SUCCEEDED and finished.answer is None:
        raise _refused("/answer", "A run that succeeded has an answer.")
    if finished.answer is not None and finished.answer.run_id != run_id:
        raise _refused("/answer/run_id", f"This is the answer of another run, not of {run_id}.")


def run_is_over(run: Run) -> Conflict:
    """What is refused because the run has ended."""
    return Conflict(f"The run {run.run_id} is over: {run.status.value}.", code="run_finished")


def run_not_found(run_id: str) -> NotFound:
    """What a run answers that is absent or somebody else's: the two are not told apart."""
    return NotFound(f"There is no run {run_id} here for you.", code="run_not_found")


def _names() -> str:
    return ", ".join(sorted(status.value for status in FINISHED))


def _refused(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(message, code="invalid_ending", errors=[FieldError(pointer=pointer, message=message)])
