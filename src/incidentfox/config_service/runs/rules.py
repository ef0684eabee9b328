"""What a run's ending may be, and when two endings are one. Pure. The order of states is the database's to enforce."""

from __future__ import annotations

from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.runs import FINISHED, CreateRun, FinishRun, RunStatus
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Unprocessable


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


def _names() -> str:
    return ", ".join(sorted(status.value for status in FINISHED))


def _refused(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(message, code="invalid_ending", errors=[FieldError(pointer=pointer, message=message)])
