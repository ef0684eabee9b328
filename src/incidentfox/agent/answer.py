"""Report → Answer: what only the platform knows is added here, and nothing else is changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incidentfox.agent.evidence import Checked, ToolResult
from incidentfox.agent.telemetry.openmetrics import thin
from incidentfox.analysis.signals import Series
from incidentfox.contracts.answer import Answer, PlottedSeries, Usage

MAX_PLOTS = 4
MAX_POINTS = 120


def assemble(
    checked: Checked, *, run_id: str, config_hash: str, usage: Usage, duration_s: float, plots: Sequence[PlottedSeries]
) -> Answer:
    """The answer as it leaves the system."""
    return Answer(
        **dict(checked.report),
        run_id=run_id,
        config_hash=config_hash,
        usage=usage,
        duration_s=round(duration_s, 3),
        dropped_claims=len(checked.dropped),
        plots=tuple(plots),
    )


def verdict_anomalies(
    checked: Checked, results: Mapping[str, ToolResult], alert_metric: str | None
) -> list[dict[str, Any]]:
    """The anomalies that carried the verdict, at most four: the alert's own metric, those that the evidence quotes,
    those of the guilty service, then the strongest. As `rank_anomalies` returned them.
    """
    found = [
        anomaly
        for result in results.values()
        if result.tool == "rank_anomalies" and not result.is_error
        for anomaly in result.result.get("anomalies") or ()
    ]
    quoted = " ".join(evidence.excerpt + " " + evidence.claim for evidence in checked.report.evidence)
    cause = checked.report.root_cause.service if checked.report.root_cause else checked.report.first_failing_service

    def order(item: tuple[int, dict[str, Any]]) -> tuple[bool, bool, bool, int]:
        rank, anomaly = item
        return anomaly["metric"] != alert_metric, anomaly["metric"] not in quoted, anomaly["service"] != cause, rank

    chosen: dict[tuple[str, str], dict[str, Any]] = {}
    for _, anomaly in sorted(enumerate(found), key=order):
        chosen.setdefault((anomaly["service"], anomaly["metric"]), anomaly)
    return list(chosen.values())[:MAX_PLOTS]


def plot(anomalies: Sequence[Mapping[str, Any]], series: Sequence[Series]) -> list[PlottedSeries]:
    """The series of the anomalies, thinned, with their onsets."""
    by_name = {(one.service, one.metric): one for one in series}
    plots = []
    for anomaly in anomalies:
        match = by_name.get((anomaly["service"], anomaly["metric"]))
        if match is not None:
            times, values = thin(match.times, match.values, MAX_POINTS)
            plots.append(
                PlottedSeries(
                    service=match.service, metric=match.metric, times=times, values=values, onset=anomaly["onset"]
                )
            )
    return plots
