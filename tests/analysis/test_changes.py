"""Change-to-symptom ranking: meaning before recency, reach through carriers, and time that cannot run backwards."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from incidentfox.analysis.changes import rank_changes
from incidentfox.analysis.findings import ChangeFinding, Symptom
from incidentfox.analysis.signals import Changes, Commit, Deploy, FlagChange

ONSET = 10_000.0
SYMPTOM = Symptom(
    ("orders", "web"), ONSET, ("pool_wait_seconds", "db_pool_max=10", "connection", "exhausted"), ("pool", "timeout")
)
LOWER = "@@ pkg/db/pool.go @@\n-const maxConns = 50\n+const maxConns = 10\n"
RENAME = "@@ services/orders/h.go @@\n-\tx := read(r)\n-\treturn write(x)\n+\treturn write(read(r))\n"


def _commit(sha: str, time: float, diff: str | None, *files: str, message: str = "change") -> Commit:
    return Commit(sha, "dev", time, message, files, diff)


def _rank(commits: list[Commit], deploys: list[Deploy], *flags: FlagChange) -> dict[str, ChangeFinding]:
    found = rank_changes(Changes(tuple(commits), tuple(deploys), flags), SYMPTOM)
    return {f.ref: f for f in found}


def test_meaning_beats_recency() -> None:
    commits = [
        _commit("a" * 40, 5_000, LOWER, "pkg/db/pool.go", message="refactor: tidy defaults"),
        _commit("b" * 40, 9_800, RENAME, "services/orders/h.go", message="fix pool timeout in orders"),
    ]
    deploys = [Deploy(5_100, "orders", "a" * 40), Deploy(9_900, "orders", "b" * 40)]
    found = _rank(commits, deploys)
    assert found["a" * 40].score > 3 * found["b" * 40].score
    assert found["a" * 40].score >= 0.6
    assert "its value shows in the signals" in found["a" * 40].reasons
    assert found["a" * 40].excerpt == "+const maxConns = 10"


def test_what_went_live_after_the_onset_is_impossible() -> None:
    commit = _commit("a" * 40, 5_000, LOWER, "pkg/db/pool.go")
    before = _rank([commit], [Deploy(ONSET - 60, "orders", "a" * 40)])["a" * 40]
    after = _rank([commit], [Deploy(ONSET + 600, "orders", "a" * 40)])["a" * 40]
    made_later = _rank([replace(commit, time=ONSET + 600)], [])["a" * 40]
    assert after.score < 0.05 < before.score
    assert made_later.score < 0.05
    assert "was deployed after the onset" in after.reasons


def test_a_delayed_onset_costs_little() -> None:
    commit = _commit("a" * 40, 100, LOWER, "pkg/db/pool.go")
    soon = _rank([commit], [Deploy(ONSET - 60, "orders", "a" * 40)])["a" * 40].score
    late = _rank([commit], [Deploy(ONSET - 9_000, "orders", "a" * 40)])["a" * 40].score
    assert 0.85 * soon <= late < soon


def test_a_shared_commit_rides_on_a_later_deploy() -> None:
    shared = _commit("a" * 40, 5_000, LOWER, "pkg/db/pool.go")
    head = _commit("b" * 40, 6_000, RENAME, "services/orders/h.go")
    found = _rank([shared, head], [Deploy(7_000, "orders", "b" * 40)])
    assert found["a" * 40].score > found["b" * 40].score
    assert found["a" * 40].deployed_to == ("orders",)
    assert found["a" * 40].deployed_at == 7_000


def test_a_dependency_bump_delivers_the_module_that_it_names() -> None:
    symptom = Symptom(("ingest",), ONSET, ("meta", "missing", "field"), ("schema",))
    rename = '@@ pkg/schema/e.go @@\n-\tX string `json:"meta"`\n+\tX string `json:"metadata"`\n'
    upgrade = "@@ go.mod @@\n-\torg/pkg/schema v0.8.0\n+\torg/pkg/schema v0.9.0\n"
    library = _commit("a" * 40, 5_000, rename, "pkg/schema/e.go")
    bump = _commit("b" * 40, 6_000, upgrade, "producer/go.mod")
    found = rank_changes(Changes((library, bump), (Deploy(7_000, "producer", "b" * 40),)), symptom)
    assert [f.ref[0] for f in found] == ["a", "b"]
    assert any("dependency bump" in reason for reason in found[0].reasons)


def test_other_services_and_undeployed_commits_count_less() -> None:
    commit = _commit("a" * 40, 5_000, LOWER, "pkg/db/pool.go")
    here = _rank([commit], [Deploy(7_000, "orders", "a" * 40)])["a" * 40].score
    elsewhere = _rank([commit], [Deploy(7_000, "mail", "a" * 40)])["a" * 40].score
    nowhere = _rank([commit], [Deploy(4_000, "orders", "c" * 40)])["a" * 40].score
    assert here > elsewhere > nowhere


def test_abbreviated_ids_are_matched() -> None:
    commit = _commit("abcdef1234" + "0" * 30, 5_000, LOWER, "pkg/db/pool.go")
    found = rank_changes(Changes((commit,), (Deploy(7_000, "orders", "abcdef1"),)), SYMPTOM)
    assert len(found) == 1
    assert found[0].deployed_to == ("orders",)


def test_a_commit_without_a_diff_never_scores_high() -> None:
    commit = _commit("a" * 40, 5_000, None, "pkg/db/pool.go", message="change connection pool wait timeout")
    found = _rank([commit], [Deploy(7_000, "orders", "a" * 40)])["a" * 40]
    assert 0.05 < found.score <= 0.3
    assert found.excerpt == ""


def test_a_deploy_of_an_unknown_commit_is_listed_low() -> None:
    found = _rank([], [Deploy(9_900, "orders", "d" * 40, "v7")])["d" * 40]
    assert found.score == pytest.approx(0.15)
    assert found.reasons == ("its commit is not in the feed",)


def test_flags_must_be_prompt_and_speak_of_the_symptom() -> None:
    symptom = Symptom(("orders",), ONSET, ("tiered_discount", "division"), ())
    flags = (
        FlagChange(ONSET - 60, "tiered_discount", "orders", "off->on", "dev"),
        FlagChange(ONSET - 60, "blue_buttons", "orders", "off->on", "dev"),
        FlagChange(ONSET + 900, "tiered_discount_late", "orders", "off->on", "dev"),
    )
    found = {f.ref: f for f in rank_changes(Changes(flags=flags), symptom)}
    assert found["tiered_discount"].score > 0.5 > found["blue_buttons"].score
    assert found["tiered_discount_late"].score < 0.05
    assert {f.kind for f in found.values()} == {"flag"}


def test_a_flag_wakes_the_commit_that_names_it() -> None:
    diff = '@@ services/orders/t.py @@\n+    if on("tiered_discount"):\n+        total = share(total)\n'
    commit = _commit("a" * 40, 1_000, diff, "services/orders/t.py")
    deploys = [Deploy(1_100, "orders", "a" * 40)]
    plain = _rank([commit], deploys)["a" * 40]
    woken = _rank([commit], deploys, FlagChange(ONSET - 30, "tiered_discount", "orders", "off->on"))["a" * 40]
    assert woken.score > plain.score
    assert woken.flag == "tiered_discount"


def test_a_huge_rewrite_is_judged_quickly() -> None:
    lines = "".join(f"-old_{i} = f({i})\n+new_{i} = g({i})\n" for i in range(3_000))
    commit = _commit("a" * 40, 5_000, "@@ services/orders/h.go @@\n" + lines, "services/orders/h.go")
    begin = time.perf_counter()
    _rank([commit] * 5, [Deploy(7_000, "orders", "a" * 40)])
    assert time.perf_counter() - begin < 5.0


def test_an_empty_feed_gives_nothing() -> None:
    assert rank_changes(Changes(), SYMPTOM) == ()


def test_a_gauge_that_went_from_the_old_value_to_the_new_one_gives_the_edit_away() -> None:
    batch = _commit("a" * 40, 5_000, "@@ app.yml @@\n-  max-poll-records: 200\n+  max-poll-records: 2500\n", "app.yml")
    symptom = replace(SYMPTOM, identifiers=("records.per.poll=199.1->2500",), families=("queue",))
    changes = Changes((batch,), (Deploy(ONSET - 60, "orders", "a" * 40),), ())
    seen = [(i,) for i in ("records.per.poll=2500->199.1", "records.per.poll=30->90")]
    found, back, plain = (
        rank_changes(changes, one)[0] for one in (symptom, *(replace(symptom, identifiers=i) for i in seen))
    )
    assert found.score >= 0.7 > back.score == plain.score
    assert "its value shows in the signals" in found.reasons


def test_what_the_first_call_would_have_shown_does_not_wait() -> None:
    guard = "@@ services/orders/h.go @@\n-\tif o.Item == nil { return }\n \tx(o)\n"
    commit = _commit("a" * 40, 100, guard, "services/orders/h.go")
    soon, late = (_rank([commit], [Deploy(ONSET - s, "orders", "a" * 40)])["a" * 40].score for s in (60, 7_200))
    assert 0.6 * soon < late < 0.85 * soon


def test_the_file_that_the_stack_names_outranks_a_neighbour() -> None:
    diff = "@@ subs/periods.py @@\n-    return ending(start, 31)\n+    return start.replace(month=start.month % 12)\n"
    named = replace(SYMPTOM, identifiers=("/app/subs/periods.py", "ValueError"), families=("time",))
    elsewhere = replace(named, identifiers=("/app/subs/routes.py", "ValueError"))
    deploys = (Deploy(ONSET - 3_600, "orders", "a" * 40),)
    changes = Changes((_commit("a" * 40, 5_000, diff, "subs/periods.py"),), deploys, ())
    found, other = (rank_changes(changes, symptom)[0].score for symptom in (named, elsewhere))
    assert found > 1.5 * other
