"""Whose turn it is: nobody waits behind the many keys of one neighbour."""

from __future__ import annotations

import random

from incidentfox.kernel.durable.turns import Turns


def test_who_was_served_longest_ago_comes_first() -> None:
    turns = Turns()
    for key in ("a/1", "b/1", "c/1"):
        turns.served(key)
    assert turns.order(["c/1", "a/1", "b/1"]) == ["a/1", "b/1", "c/1"]


def test_a_newcomer_comes_before_a_neighbour_who_is_served_all_the_time() -> None:
    turns = Turns()
    flood = [f"noisy/{number}" for number in range(20)]
    for key in turns.order(flood)[:4]:
        turns.served(key)
    assert turns.order([*flood, "quiet/1"])[0] == "quiet/1"


def test_a_newcomer_within_a_group_comes_before_the_groups_other_keys() -> None:
    turns = Turns()
    for number in range(20):
        turns.served(f"org/{number}")
    waiting = [f"org/{number}" for number in range(20)]
    assert turns.order([*waiting, "org/new"])[0] == "org/new"


def test_every_key_has_its_turn() -> None:
    turns = Turns()
    keys = [f"noisy/{number}" for number in range(7)] + ["quiet/1", "quiet/2"]
    served: set[str] = set()
    for _ in range(2 * len(keys)):
        first = turns.order(keys)[0]
        turns.served(first)
        served.add(first)
    assert served == set(keys)


def test_the_order_cannot_be_shuffled() -> None:
    turns = Turns()
    order = turns.order(str(number) for number in range(50))
    before = list(order)
    random.shuffle(order)
    assert list(order) == before


def test_a_group_takes_no_more_than_its_part() -> None:
    turns = Turns(most_per_group=4)
    turns.order(["noisy/1", "noisy/2", "quiet/1"], running=["noisy/1", "noisy/2", "noisy/2"])
    assert (turns.room("noisy/3"), turns.room("quiet/1")) == (1, 4)
    turns.served("noisy/3", workflows=1)
    assert turns.room("noisy/4") == 0
    turns.order(["noisy/4"], running=["noisy/1"])
    assert turns.room("noisy/4") == 3, "what has ended makes room"
