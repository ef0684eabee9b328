"""Takes secrets out of text from outside, before it reaches a model, a database, a log or a trace. No switch turns it
off.

Called wherever outside text becomes ours: at the webhook door (`orchestrator/webhooks`), where a run's input and an
uploaded recording are stored (`config_service`), where telemetry is read and where tools and models answer (`agent`),
and by the log's last processor. What counts as a secret is in `secret_shapes.py`.

Three properties are tested: redacting twice is redacting once; what is no secret comes out as it went in; the work
grows in proportion to the text, whatever the text is.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from incidentfox.kernel.secret_shapes import (
    EMAIL,
    HINT,
    HINT_PAIRS,
    PEM_BEGIN,
    PEM_BODY_CUT,
    PEM_END,
    PEM_HINT,
    PEM_LONGEST,
    SECRET_KEY,
    SHAPES,
    SHORTEST,
    Shape,
)

VALUE = "[redacted:value]"


@dataclass(frozen=True)
class Redactor:
    """One way of redacting. `emails`: e-mail addresses count as secrets, too; a team decides that for itself."""

    emails: bool = False

    def redact(self, value: Any) -> Any:
        """The JSON-able value with every secret replaced by `[redacted:kind]`. Numbers and booleans stay."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, dict):
            return {
                self.redact_text(key): VALUE
                if isinstance(item, str) and item and SECRET_KEY.search(key.lower())
                else self.redact(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.redact(item) for item in value]
        return value

    def redact_text(self, text: str) -> str:
        """The text with every secret replaced, and without what no database stores."""
        text = _storable(text)
        # Taking one secret out may lay bare the next (two tokens without a space). Every pass that changes anything
        # takes characters away that no later pass brings back, so this ends; and what it ends with does not change.
        while self.suspects(text) and (after := self._once(text)) != text:
            text = after
        return text

    def suspects(self, text: str) -> bool:
        """Whether the text may hold a secret: a quick look. False means that redacting would not change it."""
        if len(text) < SHORTEST:
            return False
        folded = _folded(text)
        if HINT.search(folded):
            return True
        for hint, needed in HINT_PAIRS:
            if hint in folded and needed in folded:
                return True
        return PEM_HINT in folded or (self.emails and "@" in text)

    def _once(self, text: str) -> str:
        folded = _folded(text)
        if PEM_HINT in folded:
            text = _without_private_keys(text)
            folded = _folded(text)
        for shape in SHAPES:
            if shape.needs in folded and any(hint in folded for hint in shape.hints):
                text = _without(shape, text, folded)
                folded = _folded(text)
        return EMAIL.sub("[redacted:email]", text) if self.emails else text


_ALWAYS = Redactor()

redact = _ALWAYS.redact
"""For values: see Redactor.redact."""
redact_text = _ALWAYS.redact_text
"""For text: see Redactor.redact_text."""
suspects = _ALWAYS.suspects
"""For text that is mostly innocent: see Redactor.suspects."""


def _without(shape: Shape, text: str, folded: str) -> str:
    kept, position = [], 0
    for match in shape.pattern.finditer(folded if shape.folded else text):
        start, end = match.span("secret")
        if not shape.spared(match["secret"]):
            kept += [text[position:start], f"[redacted:{shape.kind}]"]
            position = end
    return "".join([*kept, text[position:]]) if kept else text


def _folded(text: str) -> str:
    """The text in lower case, character for character: positions in it are positions in the text."""
    folded = text.lower()
    if len(folded) != len(text):
        folded = "".join(one if len(one) == 1 else character for character in text for one in [character.lower()])
    return folded


def _without_private_keys(text: str) -> str:
    """PEM blocks from BEGIN to END, over lines, `\\n` escapes and diff signs; a block cut short as far as it is one."""
    ends = [(match.start(), match.end()) for match in PEM_END.finditer(text)]
    starts = [start for start, _ in ends]
    kept, position = [], 0
    for begin in PEM_BEGIN.finditer(text):
        if begin.start() < position:
            continue
        at = bisect_left(starts, begin.end())
        if at < len(ends) and starts[at] - begin.end() <= PEM_LONGEST:
            end = ends[at][1]
        else:
            body = PEM_BODY_CUT.match(text, begin.end())
            end = body.end() if body else begin.end()
            if end == begin.end():
                continue  # the words alone, as in code that looks for them
        kept += [text[position : begin.start()], "[redacted:private-key]"]
        position = end
    return "".join([*kept, text[position:]])


def is_storable(text: str) -> bool:
    """Whether redacting leaves the text's characters as they are, secrets aside."""
    return _storable(text) == text


def _storable(text: str) -> str:
    """NUL and lone surrogates, which logs may hold and Postgres does not, become the replacement character."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
