"""What a change can account for by where it runs: callers of its home wholly, callees in part, bystanders not."""

from __future__ import annotations

from incidentfox.analysis.attribution import weigh
from incidentfox.analysis.findings import ChangeFinding, Edge

EDGES = [Edge("web", "orders", 10, 5), Edge("orders", "stock", 10, 5)]


def _change(*services: str) -> ChangeFinding:
    return ChangeFinding("commit", "-".join(services), "a change", "dev", 0.0, 0.8, services)


def _scores(*homes: str, troubled: dict[str, float], traced: tuple[str, ...] = ()) -> dict[str, float]:
    found = weigh([_change(home) for home in homes], troubled, EDGES, traced=traced)
    return {change.ref: change.score for change in found}


def test_a_change_below_accounts_for_all_above_it() -> None:
    troubled = {"web": 100.0, "orders": 100.0, "stock": 100.0}
    scores = _scores("stock", "orders", "web", troubled=troubled)
    assert scores["stock"] == 0.8
    assert scores["stock"] > scores["orders"] > scores["web"]


def test_a_service_that_fails_beside_them_and_first_speaks_against_it() -> None:
    beside = {"orders": 900.0, "web": 900.0, "mail": 100.0}
    together = {"orders": 900.0, "web": 900.0, "mail": 900.0}
    alone = {"orders": 900.0, "web": 900.0}
    scores = [_scores("orders", troubled=t, traced=("mail",))["orders"] for t in (alone, together, beside)]
    assert scores[0] == 0.8
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


def test_what_no_trace_knows_counts_for_and_against_nobody() -> None:
    troubled = {"orders": 900.0, "web": 900.0, "batch": 100.0}
    assert _scores("orders", troubled=troubled)["orders"] == 0.8
    assert _scores("network", troubled=troubled)["network"] == 0.8


def test_the_reason_is_said() -> None:
    found = weigh([_change("orders")], {"orders": 1.0, "mail": 1.0}, EDGES, traced=("mail",))
    assert found[0].reasons == ("does not account for mail",)


def test_what_runs_on_a_flooded_service_made_nobody_ask_more() -> None:
    troubled = {"web": 100.0, "stock": 100.0}
    found = weigh([_change("stock"), _change("orders")], troubled, EDGES, traced=(), flooded={"stock"})
    assert [change.ref for change in found] == ["orders", "stock"]
    assert "asked far more often" in found[1].reasons[-1]
