"""Reading diffs: quantities with units, lines that really changed, kinds of files, and what an edit does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.analysis.diffs import classify_file, parse_diff
from incidentfox.analysis.effects import effects_of
from incidentfox.analysis.quantities import quantities_of


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("Timeout: 5 * time.Second,", [5.0]),
        ("ctx, 300*time.Millisecond)", [0.3]),
        ("ttl: 15m", [900.0]),
        ("wait(time.Minute)", [60.0]),
        ("memory: 512Mi", [512 * 2.0**20]),
        ("cpu: 500m", [0.5]),
        ("-Xmx4g -Xms512m", [4e9, 512e6]),
        ("Duration.ofMinutes(2)", [120.0]),
        ("timedelta(hours=2)", [7200.0]),
        ("max = 1_000", [1000.0]),
        ("sha256 utf8 v2 a1b2", []),
        ("pool(10, 20)", [10.0, 20.0]),
    ],
)
def test_quantities_are_read_in_base_units(line: str, values: list[float]) -> None:
    assert [q.value for q in quantities_of(line)[1]] == pytest.approx(values)


@given(st.text(max_size=80))
def test_any_line_can_be_read(line: str) -> None:
    blanked, found = quantities_of(line)
    assert quantities_of(blanked)[1] == () or found
    parse_diff("@@ a.go @@\n-" + line)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("docs/api.md", "inert"),
        ("pkg/x/x_test.go", "inert"),
        (".github/workflows/ci.yml", "inert"),
        ("deploy/staging/tls.yaml", "inert"),
        ("web/theme.ts", "style"),
        ("go.mod", "dependency"),
        ("db/migrations/001.sql", "migration"),
        ("deploy/api/values.yaml", "config"),
        ("pkg/cache/metrics.go", "observability"),
        ("services/pay/charge.go", "code"),
    ],
)
def test_files_are_sorted_by_what_they_can_break(path: str, kind: str) -> None:
    assert classify_file(path) == kind


def test_comments_layout_and_moved_lines_do_not_count() -> None:
    diff = "@@ a.yaml @@\n-host:   db:5432\n-# old words\n+# new words\n+host: db:5432\n"
    assert parse_diff(diff) == ()
    assert effects_of(diff) == ()


def test_git_and_short_headers_name_the_file_and_function() -> None:
    git = "--- a/x/y.go\n+++ b/x/y.go\n@@ -1,2 +1,2 @@ func F() {\n-a := 1\n+a := 2\n"
    short = "@@ x/y.go @@ func F() {\n-a := 1\n+a := 2\n"
    for diff in (git, short):
        (hunk,) = parse_diff(diff)
        assert (hunk.path, hunk.header) == ("x/y.go", "func F() {")
    (bare,) = parse_diff("@@ func F() {\n-a := 1\n+a := 2\n", ["x/y.go"])
    assert bare.path == "x/y.go"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Timeout: 5 * time.Second,", "Timeout: 300 * time.Millisecond,", "limit-lowered"),
        ("MaxRetries = 2", "MaxRetries = 20", "limit-raised"),
        ("if user == nil { return }", "", "guard-removed"),
        ("defer rows.Close()", "", "release-removed"),
        ("ORDER BY id LIMIT 50", "ORDER BY id", "bound-removed"),
        ('Name string `json:"name"`', 'Name string `json:"full_name"`', "contract-renamed"),
        ("await client.connect();", "client.connect();", "await-removed"),
        ("enabled: true", "enabled: false", "switch-flipped"),
        ("url = http://a:8080", "url = http://a:8081", "value-replaced"),
        ('key = f"{tenant}:{id}"', "key = id", "key-narrowed"),
    ],
)
def test_the_kind_of_an_edit_is_recognised(old: str, new: str, kind: str) -> None:
    diff = "@@ services/a/a.go @@\n" + f"-{old}\n" + (f"+{new}\n" if new else "")
    found = effects_of(diff)
    assert found[0].kind == kind or kind in {e.kind for e in found if e.hazard >= found[0].hazard}
    assert found[0].hazard >= 0.45


@pytest.mark.parametrize(
    "diff",
    [
        "@@ a.go @@\n-log.Printf(\"a %d\", n)\n+log.Info(\"a\", \"n\", n)\n",
        "@@ a_test.go @@\n-timeout := 5\n+timeout := 1\n",
        "@@ a.css @@\n-.a { padding: 1px }\n+.a { padding: 9px }\n",
        "@@ a.go @@\n+if len(xs) == 0 {\n+\treturn nil\n+}\n",
        "@@ a.go @@\n+defer body.Close()\n",
        "@@ db/migrations/2.sql @@\n+CREATE INDEX CONCURRENTLY i ON t (c);\n",
        "@@ a.go @@\n-if r.Lat < -90 || r.Lat > 90 {\n-\treturn bad(\"lat\")\n-}\n"
        "+return checkRange(\"lat\", r.Lat, -90, 90)\n",
        "@@ a.go @@\n-\"recieved\"\n+\"received\"\n",
        "@@ go.mod @@\n-\texample.org/x v1.2.3\n+\texample.org/x v1.2.4\n",
    ],
)  # fmt: skip
def test_inert_edits_have_little_hazard(diff: str) -> None:
    assert all(effect.hazard <= 0.15 for effect in effects_of(diff))


def test_the_direction_of_a_change_decides() -> None:
    lowered = effects_of("@@ a.go @@\n-MaxConns = 50\n+MaxConns = 10\n")[0]
    raised = effects_of("@@ a.go @@\n-MaxConns = 10\n+MaxConns = 50\n")[0]
    assert lowered.hazard > 3 * raised.hazard
    assert lowered.numbers[:2] == (50.0, 10.0)
    assert "lowered from 50 to 10 (5 times)" in lowered.note


@pytest.mark.parametrize(
    ("path", "diff", "kind"),
    [
        ("src/a.ts", "-  total: number;\n+  total: string;", "contract-renamed"),
        ("net/allow.yaml", " - 10.1.0.0/16\n-- 10.2.0.0/16\n - 10.3.0.0/16", "access-removed"),
        ("pkg/m.go", "-\tdefer mu.Unlock()", "release-removed"),
        ("k8s/e.yaml", "-runAsUser: 0\n+runAsUser: 0\n+readOnlyRootFilesystem: true", "restricted"),
        ("a/t.go", " tx, err := db.BeginTx(ctx, nil)\n+score, err := s.fraud.Score(ctx, t)", "call-in-transaction"),
        ("k8s/d.yaml", "-- name: SPRING_KAFKA_SERVERS\n+- name: KAFKA_SERVERS", "setting-renamed"),
        ("src/T.java", "-int lo = Math.min(a, b);\n-acquireLock(lo);\n+acquireLock(a);", "lock-order-changed"),
        ("app/x.rb", '-cache.fetch(["p", shop.id, handle])\n+cache.fetch("p/#{handle}")', "key-narrowed"),
        ("src/b.rs", "-  p: Duration::from_millis(c.every),\n+  p: Duration::from_secs(c.every),", "unit-changed"),
        ("deploy/env.yaml", "-CACHE_URL: redis://cache:6379\n+REDIS_CACHE_URL: redis://cache:6379", "setting-renamed"),
        ("net/sg.tf", '-cidr_blocks = ["10.40.0.0/16", "10.42.0.0/16"]\n+cidr_ipv4 = "10.40.0.0/16"', "access-removed"),
        ("src/c.ts", "-const p = new DataLoader(f);\n+get p() {\n+return new DataLoader(f);", "built-per-use"),
    ],
)  # fmt: skip
def test_edits_that_name_themselves_otherwise(path: str, diff: str, kind: str) -> None:
    best = effects_of(f"--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n{diff}\n", (path,))[0]
    assert (best.kind, best.hazard >= 0.7) == (kind, True)


@pytest.mark.parametrize(
    ("path", "diff"),
    [
        ("src/d.go", "-err := json.Unmarshal(b, &e)\n+if err := json.Unmarshal(b, &e); err != nil {"),
        ("db/postgres.conf", "-log_min_duration_statement = 500ms\n+log_min_duration_statement = 250ms"),
        ("src/R.java", "-running = false;\n+running = false;\n+executor.shutdownNow();"),
        ("package.json", '-    "eslint": "^8.57.0",\n+    "eslint": "^9.2.0",'),
        ("src/e.java", "-period(Duration.ofSeconds(8))\n+period(Duration.ofMillis(8000))"),
        ("etc/v.yaml", "-version: '1.2.3.4'\n+version: '1.2.3.5'"),
        ("tests/test_m.py", "+c = Counter('x', labels=['user_id'])"),
        ("src/l.rs", "-pub async fn connect(c: Cfg) -> LimiterClient {\n+pub fn client(c: Link) -> LimiterClient {"),
        ("src/post.ts", '-import { Post, Reaction } from "../schema";\n+import { Post } from "../schema";'),
        ("app/settings.json", '-"db": "Host=db;Timeout=15"\n+"db": "Host=db;Timeout=15;Application Name=billing"'),
    ],
)  # fmt: skip
def test_edits_that_only_look_dangerous(path: str, diff: str) -> None:
    found = effects_of(f"--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n{diff}\n", (path,))
    assert all(effect.hazard <= 0.3 for effect in found), found


def test_a_named_number_that_moved_is_a_changed_number() -> None:
    diff = (
        "@@ src/agent.ts @@\n+new HttpAgent({\n+  freeSocketTimeout: 60_000,\n+});\n"
        "@@ src/account.ts @@\n-const agent = new HttpAgent({ freeSocketTimeout: 4_000 });\n"
    )
    found = effects_of(diff, ("src/agent.ts", "src/account.ts"))
    raised = next(effect for effect in found if effect.kind == "limit-raised")
    assert raised.note == "freeSocketTimeout raised from 4_000 to 60_000 (15 times)"
    assert raised.line == "+  freeSocketTimeout: 60_000,"
    assert not [e for e in effects_of(diff.replace("4_000", "60_000"), ()) if e.kind.startswith("limit")]


@pytest.mark.parametrize(
    ("path", "diff", "hazard"),
    [
        ("db/migrations/0118.py", '+    op.create_index(\n+        "ix",\n+        "usage",\n+    )', 0.7),
        ("db/migrations/0118.py", '+op.create_index(\n+    "ix",\n+    postgresql_concurrently=True,\n+)', 0.06),
        ("db/migrations/9.sql", "+  ADD COLUMN ref uuid NOT NULL DEFAULT gen_random_uuid();", 0.85),
        ("internal/stats.go", '-}, []string{"source"})\n+}, []string{"source", "sid"})', 0.7),
        ("pkg/place.go", "-tx, err := db.BeginTx(ctx, nil)\n-defer tx.Rollback()\n+return dbtx.Run(ctx, insert)", 0.21),
        ("q.sql", "-SELECT * FROM ledger LIMIT 10;\n+SELECT id, ts FROM ledger LIMIT 10;", 0.15),
        ("web/h.go", '+w.Header().Set("Retry-After", "5")', 0.3),
    ],
)  # fmt: skip
def test_how_dangerous_an_edit_is(path: str, diff: str, hazard: float) -> None:
    found = effects_of(f"--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n{diff}\n", (path,))
    assert found[0].hazard == pytest.approx(hazard, abs=0.15), found[:3]


@pytest.mark.parametrize(
    ("diff", "never"),
    [
        ("-v = cache.get(legacy_name)\n+v = cache.get(new_name)", "key-narrowed"),
        ("-key = row.holiday\n+key = row.hour", "unit-changed"),
        ("-width = min(a, b)\n+width = a\n+with lock:", "lock-order-changed"),
        ("+CREATE INDEX CONCURRENTLY a ON t(x);\n+CREATE INDEX b ON t(y);", "guard-added"),
    ],
)
def test_what_an_edit_is_not(diff: str, never: str) -> None:
    found = effects_of(f"@@ db/migrations/x.sql @@\n{diff}\n", ("db/migrations/x.sql",))
    assert never not in {effect.kind for effect in found}


def test_one_concurrent_index_excuses_no_other() -> None:
    diff = "@@ db/migrations/1.sql @@\n+CREATE INDEX CONCURRENTLY a ON t(x);\n+CREATE INDEX b ON t(y);\n"
    assert effects_of(diff, ())[0].hazard == pytest.approx(0.6)


def test_a_release_that_is_handed_over_is_forgiven_in_its_own_file_only() -> None:
    handed = "@@ a.go @@\n-tx, err := db.BeginTx(ctx)\n-defer tx.Rollback()\n+return dbtx.Run(ctx, insert)\n"
    lost = handed + "@@ b.go @@\n-defer rows.Close()\n"
    hazards = {effect.path: effect.hazard for effect in effects_of(lost, ()) if effect.kind == "release-removed"}
    assert hazards["a.go"] < 0.3 < hazards["b.go"]


@pytest.mark.parametrize("lines", [1_990, 660])
def test_a_diff_of_calls_alone_is_read_in_one_pass(lines: int) -> None:
    """Each line is searched a bounded number of times, whatever stands beside it."""
    diff = "@@ a.py @@\n" + "".join(f"-worker_{n}.close_handle({n})\n" for n in range(lines))
    assert len(effects_of(diff, ())) <= 60


LEFT = "+c = await pool.acquire()\n+if many:\n+    return held\n+await c.execute(sql)\n+await pool.release(c)\n"


@pytest.mark.parametrize(
    ("diff", "found"),
    [
        (LEFT, True),
        (LEFT.replace("+if many:\n+    return held\n", ""), False),
        (LEFT.replace("+await pool", "+finally:\n+    await pool"), False),
        (LEFT.replace("+c = await pool.acquire()", "+async with pool.acquire() as c:"), False),
        (LEFT + "+return done\n", True),
    ],
)
def test_a_way_out_before_the_release_is_seen(diff: str, found: bool) -> None:
    notes = {effect.note for effect in effects_of(f"@@ app.py @@\n{diff}", ("app.py",))}
    assert ("returns before it releases what it took" in notes) == found
