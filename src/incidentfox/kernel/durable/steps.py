"""What a step leaves on record, and how it is tried again.

A step's record is one JSON object, `{"value": …}` or `{"failure": {…}}`: a first run and a replay after a crash read
the same record, so the workflow sees the same value (or the same kind of failure) both times.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from incidentfox.kernel.durable.options import Retry
from incidentfox.kernel.errors import Failure, Permanent, Temporary

Record = dict[str, Any]
Park = Callable[[int, float], Awaitable[None]]
"""Called with the number of failures so far and the seconds to wait; comes back only if it could not park."""


async def run_attempts(
    attempt: Callable[[], Awaitable[Any]],
    retry: Retry,
    *,
    failures_so_far: Callable[[], Awaitable[int]],
    park: Park,
) -> Record:
    """Tries until there is something to put on record. `failures_so_far` is asked after the first failure only.

    Anything but a Permanent or a Temporary is a bug and is raised; the workflow then fails with it.
    """
    failures: int | None = None
    while True:
        try:
            return {"value": _json(await attempt())}
        except Permanent as failure:
            return _failure_record(failure)
        except Temporary as failure:
            failures = (await failures_so_far() if failures is None else failures) + 1
            if retry.attempts is not None and failures >= retry.attempts:
                return _failure_record(failure)
            delay_s = retry.delay_s(failures, failure.retry_after_s)
        await park(failures, delay_s)
        await asyncio.sleep(delay_s)


def read_record(record: Record) -> Any:
    """The recorded value; raises the recorded failure."""
    if "failure" in record:
        raise _failure(record["failure"])
    return record["value"]


def _json(value: Any) -> Any:
    """The value as JSON gives it back (tuples become lists), so that nothing changes on replay.

    Raises TypeError or ValueError for what JSON does not hold. A lone surrogate, which text from outside may contain
    and Postgres refuses, becomes a question mark.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def _failure_record(failure: Failure) -> Record:
    return {
        "failure": {
            "class": type(failure).__name__,
            "permanent": isinstance(failure, Permanent),
            "detail": failure.detail.encode("utf-8", "replace").decode(),
            "code": failure.code,
            "retry_after_s": failure.retry_after_s,
        }
    }


def _failure(recorded: dict[str, Any]) -> Failure:
    """The failure again, of its own class if that still exists, else of its word's."""
    word: type[Failure] = Permanent if recorded["permanent"] else Temporary
    kind = _subclasses(word).get(recorded["class"], word)
    # A subclass may construct itself differently; what all share is set here.
    failure = kind.__new__(kind)
    Failure.__init__(failure, recorded["detail"], code=recorded["code"], retry_after_s=recorded["retry_after_s"])
    return failure


def _subclasses(word: type[Failure]) -> dict[str, type[Failure]]:
    found = {word.__name__: word}
    for kind in word.__subclasses__():
        found |= _subclasses(kind)
    return found
