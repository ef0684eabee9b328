"""A step's record: what is tried again, what is not, and that a replay sees what the first run saw."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from incidentfox.kernel.durable import FOR_EVER, NO_RETRY, Retry
from incidentfox.kernel.durable.steps import read_record, run_attempts
from incidentfox.kernel.errors import Conflict, NotFound, Permanent, RateLimited, Temporary, Unavailable

pytestmark = pytest.mark.anyio


async def _record(
    attempt: Callable[[], Awaitable[Any]], retry: Retry = NO_RETRY, earlier: int = 0
) -> tuple[Any, list[tuple[int, float]]]:
    parked: list[tuple[int, float]] = []

    async def so_far() -> int:
        return earlier

    async def park(failures: int, delay_s: float) -> None:
        parked.append((failures, delay_s))

    return await run_attempts(attempt, retry, failures_so_far=so_far, park=park), parked


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (None, None),
        ({"a": (1, 2.5, True)}, {"a": [1, 2.5, True]}),
        ("nul \0 and snowman ☃", "nul \0 and snowman ☃"),
        ("half a pair \ud83d", "half a pair ?"),
    ],
)
async def test_a_value_is_what_json_gives_back(value: Any, seen: Any) -> None:
    async def attempt() -> Any:
        return value

    record, _ = await _record(attempt)
    assert read_record(record) == seen


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan")])
async def test_what_json_does_not_hold_is_refused(value: Any) -> None:
    async def attempt() -> Any:
        return value

    with pytest.raises((TypeError, ValueError)):
        await _record(attempt)


async def test_a_permanent_failure_is_recorded_at_once_and_comes_back_as_itself() -> None:
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise NotFound("no such team", code="team_not_found")

    record, parked = await _record(attempt, FOR_EVER)
    assert (calls, parked) == (1, [])
    with pytest.raises(NotFound, match="no such team") as caught:
        read_record(record)
    assert caught.value.code == "team_not_found"


async def test_a_temporary_failure_is_tried_again_until_the_attempts_are_used_up() -> None:
    calls = 0

    async def attempt() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unavailable("away")
        return "back"

    retry = Retry(attempts=3, base_s=0.001)
    record, parked = await _record(attempt, retry)
    assert read_record(record) == "back"
    assert [failures for failures, _ in parked] == [1, 2]
    # Failures from before a park count.
    calls = 0
    record, _ = await _record(attempt, retry, earlier=2)
    with pytest.raises(Unavailable):
        read_record(record)
    assert calls == 1


async def test_a_failure_class_that_is_gone_comes_back_as_its_word() -> None:
    class OnlyHere(Conflict):
        def __init__(self) -> None:
            super().__init__("only here", code="only_here")

    async def attempt() -> None:
        raise OnlyHere

    record, _ = await _record(attempt)
    with pytest.raises(OnlyHere):
        read_record(record)
    record["failure"]["class"] = "Forgotten"
    with pytest.raises(Permanent, match="only here"):
        read_record(record)


async def test_anything_else_is_a_bug_and_is_raised() -> None:
    async def attempt() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _record(attempt, FOR_EVER)


def test_waits_grow_to_the_cap_and_heed_retry_after() -> None:
    retry = Retry(attempts=None, base_s=1, cap_s=8)
    for failures, nominal in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)]:
        assert nominal * 0.8 <= retry.delay_s(failures) <= nominal * 1.2
    assert retry.delay_s(1, retry_after_s=60) == 60
    assert issubclass(RateLimited, Temporary)
