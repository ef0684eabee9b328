"""A small language for invented incidents: quiet noise, an onset, logs, traces, commits among fillers, deploys.

Used by the tests of the whole analysis. Each scene has an innocent deploy near the onset; the guilty commit's id is
`GUILTY`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from incidentfox.analysis.anomalies import rank_anomalies
from incidentfox.analysis.changes import rank_changes
from incidentfox.analysis.diagnosis import diagnose, onset_of, symptom_of
from incidentfox.analysis.findings import Diagnosis
from incidentfox.analysis.locks import find_blockers
from incidentfox.analysis.signals import (
    Alert,
    Changes,
    Commit,
    DatabaseSession,
    Deploy,
    FlagChange,
    LogRecord,
    Series,
    Span,
    StatusNotice,
)
from incidentfox.analysis.templates import find_log_patterns
from incidentfox.analysis.traces import analyse_traces

START = 1_800_000_000.0
MINUTE = 60.0
LENGTH = 100

FILLERS: tuple[tuple[str, str, str], ...] = (
    ("docs: describe the release train", "docs/release.md", "+Releases leave every Tuesday.\n"),
    ("test: cover the empty basket", "pkg/basket/basket_test.go", "+func TestEmpty(t *testing.T) {}\n"),
    ("ci: split lint from unit tests", ".github/workflows/ci.yml", "+  lint:\n+    runs-on: linux\n"),
    ("chore: bump tracing client", "go.mod", "-\texample.org/trace v1.4.1\n+\texample.org/trace v1.4.2\n"),
    ("feat: count cache hits", "pkg/cache/metrics.go", "+\thits.Inc()\n"),
    ("refactor: name the helper", "pkg/money/money.go", "-\treturn toCents(x)\n+\treturn asCents(x)\n"),
    ("style: calmer buttons", "web/src/button.css", "-.b { padding: 4px }\n+.b { padding: 6px }\n"),
    ("fix: typo in the greeting", "web/src/hello.ts", '-  "Helo there"\n+  "Hello there"\n'),
)


@dataclass
class Scene:
    """One incident in the making. Times are minutes from the start; the onset is at minute 70, the page at 76."""

    service: str
    metric: str
    summary: str
    series: list[Series] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    deploys: list[Deploy] = field(default_factory=list)
    flags: list[FlagChange] = field(default_factory=list)
    notices: list[StatusNotice] = field(default_factory=list)
    sessions: list[DatabaseSession] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    fired: float = 76.0

    def __post_init__(self) -> None:
        for i, (message, path, diff) in enumerate(FILLERS):
            self.commit(f"f{i}", 5 + 8 * i, message, path, f"@@ {path} @@\n{diff}")

    def measure(
        self, service: str, metric: str, before: float, after: float, *, at: float = 70, drift: bool = False
    ) -> Scene:
        values = []
        for minute in range(LENGTH):
            level = before
            if minute >= at:
                level = before + (after - before) * ((minute - at) / (LENGTH - at) if drift else 1.0)
            values.append(level * (1 + self.rng.gauss(0, 0.03)))
        times = tuple(START + MINUTE * m for m in range(LENGTH))
        self.series.append(Series(service, metric, times, tuple(values)))
        return self

    def quiet(self, service: str, metric: str, level: float) -> Scene:
        return self.measure(service, metric, level, level)

    def says(
        self, service: str, severity: str, message: Callable[[int], str] | str, *, at: float = 70, n: int = 20
    ) -> Scene:
        for i in range(n):
            text = message if isinstance(message, str) else message(i)
            time = START + MINUTE * (at + 0.2 + i * (LENGTH - 1 - at) / n)
            self.logs.append(LogRecord(time, service, severity, text))
        return self

    def chatter(self, service: str, message: str) -> Scene:
        for i in range(0, LENGTH, 3):
            self.logs.append(LogRecord(START + MINUTE * i, service, "INFO", f"{message} in {i + 3}ms"))
        return self

    def commit(
        self, name: str, at: float, message: str, path: str, diff: str, *, to: str = "", live: float | None = None
    ) -> Scene:
        sha = name.encode().hex().ljust(40, "0")
        self.commits.append(Commit(sha, "dev", START + MINUTE * at, message, tuple(path.split()), diff))
        if to:
            self.deploys.append(Deploy(START + MINUTE * (live if live is not None else at + 2), to, sha, "v"))
        return self

    def deploy(
        self, name: str, at: float, message: str, path: str, diff: str, to: str, live: float = 69, ctx: str = ""
    ) -> Scene:
        """A commit of one file, live in `to` at minute `live`; `ctx` names the function it stands in."""
        return self.commit(name, at, message, path, f"@@ {path} @@ {ctx}\n{diff}", to=to, live=live)

    def switch(self, flag: str, service: str, change: str, at: float) -> Scene:
        """A feature flag changed at minute `at`."""
        self.flags.append(FlagChange(START + MINUTE * at, flag, service, change))
        return self

    def fails(self, *path: str, error: str) -> Scene:
        """A failing trace through the services of `path`, and a healthy one earlier."""
        for trace, minute, status in (("bad", 72.0, "ERROR"), ("good", 20.0, "OK")):
            for i, service in enumerate(path):
                self.spans.append(
                    Span(
                        trace, f"{trace}{i}", f"{trace}{i - 1}" if i else None, service, f"op{i}",
                        START + MINUTE * minute, 500.0 - 40 * i, status,
                        error if status == "ERROR" and i == len(path) - 1 else None,
                    )
                )  # fmt: skip
        return self

    @property
    def alert(self) -> Alert:
        return Alert(self.service, self.metric, self.summary, START + MINUTE * self.fired)

    def findings(self) -> dict[str, Any]:
        """What the tools would return, by the keyword of `diagnose`."""
        alert = self.alert
        anomalies = rank_anomalies(self.series, fired_at=alert.fired_at)
        onset = onset_of(alert, anomalies)
        logs = find_log_patterns(self.logs, (), onset=onset)
        traces = analyse_traces(self.spans)
        changes = Changes(
            tuple(sorted(self.commits, key=lambda c: c.time)),
            tuple(sorted(self.deploys, key=lambda d: d.time)),
            tuple(self.flags),
            tuple(self.notices),
        )
        ranked = rank_changes(changes, symptom_of(alert, anomalies, logs, traces))
        return {
            "anomalies": anomalies,
            "logs": logs,
            "traces": traces,
            "changes": ranked,
            "locks": find_blockers(self.sessions),
            "notices": tuple(self.notices),
        }

    def diagnose(self) -> Diagnosis:
        return diagnose(self.alert, **self.findings())


GUILTY = b"guilty".hex().ljust(40, "0")
