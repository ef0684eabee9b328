"""The deepest anomalous node and the blast radius on small graphs."""

from __future__ import annotations

from incidentfox.analysis.findings import Anomaly, Edge, LogFinding
from incidentfox.analysis.localisation import blast_radius, deepest_anomalous, edges_from_logs

CHAIN = (Edge("web", "orders", 5, 1), Edge("orders", "stock", 5, 1), Edge("orders", "price", 5, 0))


def _anomaly(service: str, score: float = 10, onset: float = 0) -> Anomaly:
    return Anomaly(service, "m", score, "up", onset, 1, 2)


def test_the_deepest_anomalous_node_wins_over_a_louder_caller() -> None:
    assert deepest_anomalous(CHAIN, [_anomaly("web", 90), _anomaly("orders", 50), _anomaly("stock", 10)]) == "stock"
    assert deepest_anomalous(CHAIN, [_anomaly("web", 90), _anomaly("orders", 5)]) == "orders"
    assert deepest_anomalous(CHAIN, []) is None


def test_only_what_the_entry_can_reach_counts() -> None:
    found = deepest_anomalous(CHAIN, [_anomaly("stock"), _anomaly("mail", 99)], entry="web")
    assert found == "stock"


def test_a_cycle_still_gives_an_answer() -> None:
    loop = (Edge("a", "b", 1, 1), Edge("b", "a", 1, 1))
    assert deepest_anomalous(loop, [_anomaly("a", 5), _anomaly("b", 9)]) == "b"


def test_the_blast_radius_holds_callers_and_strangers_but_no_callees() -> None:
    assert blast_radius(CHAIN, {"web", "orders", "stock", "mail"}, "orders") == ("mail", "web")
    assert blast_radius((), {"orders"}, "orders") == ()


def test_log_lines_give_edges_away() -> None:
    log = LogFinding("web", "upstream orders timeout after <*>ms", "ERROR", 0, 7, 1.0, 0.9, "upstream orders timeout")
    assert edges_from_logs([log], {"web", "orders", "order"}) == (Edge("web", "orders", 7, 7),)
