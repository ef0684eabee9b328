"""The bell of a queue's thread: it ends a wait, keeps looks apart, and stops the thread at once."""

from __future__ import annotations

import threading

from incidentfox.kernel.durable.bell import Bell

FOR_EVER_S = 600.0


def test_a_ring_ends_the_wait_also_when_it_came_before() -> None:
    bell = Bell(apart_s=0.0)
    bell.ring()
    assert not bell.wait(FOR_EVER_S)
    waiter = threading.Thread(target=bell.wait, args=(FOR_EVER_S,), daemon=True)
    waiter.start()
    bell.ring()
    waiter.join(FOR_EVER_S)
    assert not waiter.is_alive()


def test_without_a_ring_the_wait_ends_by_itself() -> None:
    assert not Bell(apart_s=FOR_EVER_S).wait(0.001)


def test_a_stop_ends_the_wait_even_between_two_looks_and_every_wait_after_it() -> None:
    bell = Bell(apart_s=FOR_EVER_S)
    bell.ring()  # the next look is due in ten minutes only
    waiter = threading.Thread(target=bell.wait, args=(FOR_EVER_S,), daemon=True)
    waiter.start()
    bell.set()
    waiter.join(FOR_EVER_S)
    assert not waiter.is_alive()
    assert bell.wait(FOR_EVER_S)
    assert bell.wait(FOR_EVER_S)
    assert bell.is_set()
