"""Who may begin when: the turns of a group, with the loop's clock moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from incidentfox.kernel.durable.turnstile import Turnstile


class Clock(asyncio.SelectorEventLoop):
    """A loop whose timers fire in order without waiting: when nothing is ready, its time is that of the next timer."""

    now = 0.0

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def _run_once(self) -> None:
        due = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if due and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(due))
        super()._run_once()  # type: ignore[misc]


@contextmanager
def clock() -> Iterator[Clock]:
    loop = Clock()
    try:
        yield loop
    finally:
        loop.close()


def begun(share: float, patience_s: float, *executions: tuple[str, float]) -> list[float]:
    """When each (group, seconds) began, all of them having arrived at once."""
    times: dict[int, float] = {}

    async def execute(number: int, group: str, seconds: float, turnstile: Turnstile) -> None:
        async with turnstile.turn(group):
            times[number] = asyncio.get_running_loop().time()
            await asyncio.sleep(seconds)

    async def all_of_them() -> None:
        turnstile = Turnstile(share, patience_s)
        await asyncio.gather(*(execute(number, *one, turnstile) for number, one in enumerate(executions)))

    with clock() as loop:
        loop.run_until_complete(all_of_them())
    return [round(times[number], 3) for number in range(len(executions))]


OTHER = ("b", 0.0)


def test_one_of_a_group_begins_when_the_one_before_it_has_ended() -> None:
    assert begun(1 / 3, 9.0, ("a", 0.1), ("a", 0.2), ("a", 0.1)) == [0.0, 0.1, 0.3]


def test_other_groups_do_not_wait() -> None:
    assert begun(0.5, 9.0, ("a", 1.0), ("a", 1.0), ("b", 1.0), ("c", 1.0)) == [0.0, 2.0, 0.0, 0.0]


def test_a_group_computes_for_no_more_than_its_share_where_others_are() -> None:
    assert begun(1 / 3, 9.0, ("a", 0.1), ("a", 0.2), ("a", 0.1), OTHER) == [0.0, 0.3, 0.9, 0.0]
    assert begun(1.0, 9.0, ("a", 0.1), ("a", 0.2), ("a", 0.1), OTHER) == [0.0, 0.1, 0.3, 0.0]


def test_a_group_rests_no_more_when_the_others_have_been_away_for_a_while() -> None:
    waits = [("a", 1.0)] * 8
    assert begun(0.5, 99.0, *waits, OTHER)[:8] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 11.0, 12.0]


def test_who_waits_for_something_outside_holds_nobody_back() -> None:
    assert begun(1 / 3, 0.5, ("a", 60.0), ("a", 60.0), ("a", 0.01), ("a", 0.01)) == [0.0, 0.5, 1.0, 1.01]


def test_who_comes_one_at_a_time_need_not_rest() -> None:
    times: list[float] = []

    async def scene() -> None:
        turnstile = Turnstile(0.1, 9.0)
        for group in ("a", "b", "a", "b"):
            async with turnstile.turn(group):
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(1.0)

    with clock() as loop:
        loop.run_until_complete(scene())
    assert times == [0.0, 1.0, 2.0, 3.0]


def test_a_rest_is_never_longer_than_patience() -> None:
    assert begun(0.1, 0.5, ("a", 0.4), ("a", 0.4), OTHER) == [0.0, 0.5, 0.0]


def test_who_is_cancelled_while_waiting_lets_the_next_one_wait_in_its_place() -> None:
    order: list[str] = []

    async def execute(name: str, turnstile: Turnstile) -> None:
        async with turnstile.turn("a"):
            order.append(f"{name} {asyncio.get_running_loop().time():.1f}")
            await asyncio.sleep(1.0)

    async def scene() -> None:
        turnstile = Turnstile(1.0, 9.0)
        first, second, third = (asyncio.create_task(execute(name, turnstile)) for name in ("1st", "2nd", "3rd"))
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.gather(first, third)

    with clock() as loop:
        loop.run_until_complete(scene())
    assert order == ["1st 0.0", "3rd 1.0"]


def test_a_group_that_is_gone_is_forgotten() -> None:
    turnstile = Turnstile(0.5, 9.0)

    async def scene() -> None:
        for number in range(100):
            async with turnstile.turn(str(number)):
                await asyncio.sleep(0.1)
        await asyncio.sleep(10.0)
        async with turnstile.turn("last"):
            pass

    with clock() as loop:
        loop.run_until_complete(scene())
    assert (len(turnstile._groups), list(turnstile._came)) == (0, ["last"])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_share_is_a_part_of_the_whole(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Turnstile(share, 1.0)
