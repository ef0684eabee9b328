"""Blocking chains with known heads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from incidentfox.analysis.locks import find_blockers
from incidentfox.analysis.signals import DatabaseSession


def _session(pid: int, app: str, *blocked_by: int, state: str = "active", age: float = 1.0) -> DatabaseSession:
    return DatabaseSession(pid, app, state, "Lock" if blocked_by else None, age, age, "UPDATE stock", blocked_by)


def test_the_head_of_a_chain_is_named_with_all_who_wait() -> None:
    sessions = [
        _session(1, "inventory", state="idle in transaction", age=300),
        _session(2, "orders", 1, age=20),
        _session(3, "orders", 2, age=10),
        _session(4, "web", 3, age=5),
        _session(5, "reports", age=900),
    ]
    (found,) = find_blockers(sessions)
    assert (found.pid, found.application, found.state) == (1, "inventory", "idle in transaction")
    assert (found.waiting, found.victims) == (3, ("orders", "web"))


def test_the_longest_transaction_comes_first() -> None:
    sessions = [_session(1, "a", age=5), _session(2, "b", 1), _session(3, "c", age=50), _session(4, "d", 3)]
    assert [f.pid for f in find_blockers(sessions)] == [3, 1]


def test_in_a_deadlock_every_member_is_a_head() -> None:
    assert {f.pid for f in find_blockers([_session(1, "a", 2), _session(2, "b", 1)])} == {1, 2}


def test_unknown_blockers_and_quiet_sessions_give_nothing() -> None:
    assert find_blockers([_session(1, "a", 99), _session(2, "b")]) == ()
    assert find_blockers(()) == ()


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_heads_never_wait_for_someone_outside_their_victims(waits: list[tuple[int, int]]) -> None:
    blocked: dict[int, list[int]] = {pid: [] for pid in range(8)}
    for waiter, blocker in waits:
        blocked[waiter].append(blocker)
    found = find_blockers([_session(pid, f"app{pid}", *by) for pid, by in blocked.items()])
    someone_waits = any(by != pid for pid, bys in blocked.items() for by in bys)
    assert bool(found) == someone_waits
    for head in found:
        waited_for = {f"app{by}" for by in blocked[head.pid] if by != head.pid}
        assert waited_for <= set(head.victims) | {head.application}
