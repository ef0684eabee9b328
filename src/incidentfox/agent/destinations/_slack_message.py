"""The answer as a Slack message: Block Kit that reads well on a phone, and the same in plain text. Pure.

Limits are Block Kit's own (docs.slack.dev/reference/block-kit/blocks). Words from outside are escaped and verbatim, so
that they can neither ping anybody nor become links.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidentfox.contracts.answer import Answer, Evidence, NextStep

Block = dict[str, Any]

HEADER_CHARACTERS = 150
SECTION_CHARACTERS = 2900  # of 3,000; escaping is done before cutting
FIELD_CHARACTERS = 1900  # of 2,000
MAX_EVIDENCE = 5
MAX_STEPS = 2
STEP_CHARACTERS = 900
_LINK = re.compile(r"https?://[^\s<>|]+", re.IGNORECASE)
_SHORT_SHA = 8
_SHA = re.compile(r"^[0-9a-f]{12,64}$")
# Slack acts on <…> and, in older parsers, on bare @here and friends: a zero-width space takes the teeth out of both.
_PING = re.compile(r"@(?=here\b|channel\b|everyone\b)", re.IGNORECASE)

_NEXT_STEP = {
    "rollback": "Roll the change back.",
    "roll-forward": "Ship a fix forward: rolling back would not undo this.",
    "config-revert": "Revert the configuration change.",
    "feature-flag-disable": "Switch the feature flag off.",
    "scale": "Add capacity.",
    "failover": "Fail over to the healthy replica or region.",
    "rotate-cert": "Rotate the certificate.",
    "reschedule": "Move the workload to healthy nodes.",
    "escalate-upstream": "Escalate to the upstream provider: the cause is not in your code.",
    "purge-bad-data": "Take the bad records out of the way.",
}


def blocks(answer: Answer, tools: Mapping[str, str], run_url: str) -> list[Block]:
    """The message. `tools` names the tool of each tool call id."""
    cause = answer.root_cause
    made: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(headline(answer), HEADER_CHARACTERS)}}
    ]
    if cause is not None:
        made.append(_section(safe(cause.summary)))
    made.append({"type": "section", "fields": [_text(_cut(field, FIELD_CHARACTERS)) for field in _facts(answer)]})
    for number, one in enumerate(answer.evidence[:MAX_EVIDENCE]):
        made.append(_section(("*Why*\n" if number == 0 else "") + _evidence(one, tools)))
    made.append(_section(f"*Next step*\n{next_step(answer)}"))
    made += [_runbook(number, step) for number, step in enumerate(answer.next_steps[:MAX_STEPS], 1)]
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open the run"}, "url": run_url}
    made.append({"type": "actions", "elements": [{**button, "action_id": "open_run"}]})
    made.append({"type": "context", "elements": [_text(_footer(answer))]})
    return made


def plain_text(answer: Answer, run_url: str) -> str:
    """The same for notifications, screen readers and search."""
    parts = [safe(headline(answer))]
    if answer.root_cause is not None:
        parts.append(safe(answer.root_cause.summary))
    parts += [f"Confidence: {confidence_words(answer.confidence)}.", next_step(answer)]
    parts += [f"Runbook: {safe(_cut(step.claim, 220))}" for step in answer.next_steps[:MAX_STEPS]]
    parts.append(run_url)
    return _cut("\n".join(parts), SECTION_CHARACTERS)


def headline(answer: Answer) -> str:
    """The verdict in one line."""
    if answer.root_cause is None:
        where = f" in {answer.first_failing_service}" if answer.first_failing_service else ""
        return f"Not enough evidence to name a cause{where}"
    cause = answer.root_cause
    change = f" · {short(cause.change)}" if cause.change else ""
    return f"{cause.kind.replace('-', ' ').capitalize()}: {cause.service}{change}"


def next_step(answer: Answer) -> str:
    """What to do now."""
    if answer.remediation is not None:
        return _NEXT_STEP[answer.remediation]
    if answer.suspects:
        first = answer.suspects[0]
        change = f" ({short(first.change)})" if first.change else ""
        return f"Look at {safe(first.service)}{safe(change)} first: it is the strongest suspect, but not proven."
    return "Look at the run's timeline: it shows what was examined and what was not available."


def confidence_words(confidence: float) -> str:
    """The confidence in words and per cent."""
    word = "high" if confidence >= 0.75 else "medium" if confidence >= 0.45 else "low"
    return f"{word} ({round(confidence * 100)} %)"


def short(change: str | None) -> str:
    """A sha by its first characters; a flag by its name."""
    return change[:_SHORT_SHA] if change and _SHA.match(change) else change or ""


def safe(text: str) -> str:
    """Text from outside for mrkdwn: `& < >` escaped as Slack asks, no bare pings."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _PING.sub("@\u200b", escaped)


def _facts(answer: Answer) -> list[str]:
    cause = answer.root_cause
    facts = [f"*Confidence*\n{confidence_words(answer.confidence)}"]
    if cause is not None:
        facts.insert(0, f"*Service*\n{safe(cause.service)}")
        facts.append(f"*Change*\n`{_code(short(cause.change))}`" if cause.change else "*Change*\nnone: operational")
    if answer.blast_radius:
        shown = ", ".join(safe(one) for one in answer.blast_radius[:6])
        more = f" and {len(answer.blast_radius) - 6} more" if len(answer.blast_radius) > 6 else ""
        facts.append(f"*Also affected*\n{shown}{more}")
    return facts


def _evidence(evidence: Evidence, tools: Mapping[str, str]) -> str:
    source = tools.get(evidence.tool_call_id, evidence.tool_call_id)
    excerpt = _code(_cut(" ".join(evidence.excerpt.split()), 160))
    return f"• {safe(_cut(evidence.claim, 220))}\n   `{excerpt}` — {safe(source)}"


def _runbook(number: int, step: NextStep) -> Block:
    """A quoted section with a button to the whole runbook, where it has an address that Slack takes."""
    quoted = "\n".join(f"> {safe(line)}" for line in _cut(step.excerpt.strip(), STEP_CHARACTERS).splitlines())
    block = _section(f"*Runbook*: {safe(_cut(step.claim, 220))}\n{quoted}")
    if step.url is None or not _LINK.fullmatch(step.url):
        return block
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open the runbook"}, "url": step.url}
    return {**block, "accessory": {**button, "action_id": f"open_runbook_{number}"}}


def _code(text: str) -> str:
    """For between back-ticks, which have no escape of their own."""
    return safe(text).replace("`", "ˋ")


def _footer(answer: Answer) -> str:
    exhausted = answer.usage.budget_exhausted
    return (
        f"run {answer.run_id} · {answer.duration_s:.1f} s · {answer.usage.tool_calls} tool calls · "
        f"configuration {answer.config_hash.removeprefix('sha256:')[:12]}"
        + (f" · budget {exhausted} used up: finished by the offline model" if exhausted else "")
    )


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> Block:
    return {"type": "mrkdwn", "text": _cut(text, SECTION_CHARACTERS), "verbatim": True}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
