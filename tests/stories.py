"""Plays the examples of a service's API (`kernel/web/examples.py`) against the real service, and records the answers.

What the service makes up at run time (ids, secrets, times, hashes) is told apart from what it was told, and written
down as one fixed value each, so that the same story has the same answers whenever it is played.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jsonschema_rs

from incidentfox.kernel.web.examples import OperationFinder, Step, Story, answer_key

CORRELATION = {"X-Correlation-Id": "checkout-5xx"}
"""What every step is sent with, so that it comes back in the answers."""

MOMENT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""When the story is set: every time of its own making is told as this moment, or as far after it as it really was."""

ROUNDED_TO = timedelta(minutes=10)
"""A story is played within seconds; what it fixes for later (an expiry) is a multiple of this away."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_ID = re.compile(r"(?<=_)[0-9a-hjkmnp-tv-z]{26}\b")
"""An id without its prefix: a run has the number of its delivery."""

_HASH = re.compile(r"\bsha256:[0-9a-f]{64}\b|\b[0-9a-f]{64}\b")
_SECRET = re.compile(r"\b(if[a-z]+|whsec)_[A-Za-z0-9_+/=-]{30,}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_FIELDS: dict[str, Callable[[str], str | None]] = {
    "day": lambda _: f"{MOMENT:%Y-%m-%d}",
    "hint": lambda actual: f"{actual[:4]}exam",  # as the secrets are told
    "last_used_at": lambda _: None,  # is written behind the answers, so that it may be there already or not yet
}
"""Fields with a rule of their own."""

Send = Callable[[str, str, dict[str, str], Any], Awaitable[httpx2.Response]]
"""(method, URL, headers, JSON body or None)."""


@dataclass
class Played:
    """One step as it was sent, and what came back."""

    step: Step
    operation: dict[str, Any]
    response: httpx2.Response

    @property
    def answer(self) -> Any:
        """The JSON of the answer; None for an answer without."""
        media_type = self.response.headers.get("content-type", "").partition(";")[0]
        is_json = media_type == "application/json" or media_type.endswith("+json")
        return self.response.json() if is_json and self.response.content else None


@dataclass
class Stage:
    """Where a story is played. `token(caller, permission)` makes the bearer token of a service identity."""

    story: Story
    document: dict[str, Any]
    send: Send
    token: Callable[[str, str], str]
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """What has to be waited for before the step with this title."""

    async def play(self) -> AsyncIterator[Played]:
        """Sends every step, each with what the answers before it gave."""
        finder, values = OperationFinder(self.document), dict[str, str]()
        for told in self.story.steps:
            if told.title in self.before:
                await self.before[told.title]()
            step = told.filled(values)
            operation, _ = finder.find(step)
            known = {parameter["name"] for parameter in operation.get("parameters", ())}
            assert known >= {*step.query, *step.headers}, f"{step.title}: an undocumented parameter"
            headers = dict(step.headers)
            if step.caller != "nobody":
                permission = operation.get("x-permission", "")
                bearer = values.get(step.caller) or self.token(step.caller, permission)
                headers["Authorization"] = f"Bearer {bearer}"
            response = await self.send(step.method, step.call.partition(" ")[2], headers, step.body)
            assert response.status_code == step.status, f"{step.title}: {response.status_code} {response.text}"
            played = Played(step, operation, response)
            if step.gives:
                values |= step.given(played.answer)
            yield played

    def uncalled(self) -> list[str]:
        """The operations that no step calls."""
        finder = OperationFinder(self.document)
        called = [finder.find(step)[0] for step in self.story.steps]
        return [name for name, operation in operations(self.document) if operation not in called]


async def answers_of(stage: Stage) -> dict[str, Any]:
    """Plays the story: the answers as they go on record, by title. Fails for one that is not as documented."""
    teller, judge, answers = Teller(stage.story), Judge(stage.document), {}
    async for played in stage.play():
        assert judge.answer_errors(played) == [], played.step.title
        if played.answer is not None:
            answers[played.step.title] = teller.tell(played.step.title, played.step.shown(played.answer))
    return answers


class Teller:
    """Writes answers down so that they are the same each time.

    What the story itself says stays. The first place where something was made up decides what it is told as, so that
    a step put in between changes nothing of the others.
    """

    def __init__(self, story: Story) -> None:
        said = json.dumps([(step.call, dict(step.headers), step.body) for step in story.steps])
        self._told = {found: found for pattern in (_ID, _HASH) for found in pattern.findall(said)}
        self._said_times = {datetime.fromisoformat(found) for found in _TIME.findall(said)}
        self._began = datetime.now(UTC)

    def tell(self, title: str, answer: Any) -> Any:
        """The answer to the step with this title."""
        return self._value(answer, title, "")

    def _value(self, value: Any, place: str, name: str) -> Any:
        if name in _FIELDS and value is not None:
            return _FIELDS[name](value)
        if isinstance(value, dict):
            return {key: self._value(item, f"{place}/{key}", key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, f"{place}/{index}", "") for index, item in enumerate(value)]
        return self._text(value, place) if isinstance(value, str) else value

    def _text(self, text: str, place: str) -> str:
        text = _SECRET.sub(lambda found: self._made_up(found[0], f"{found[1]}_example-{_digits(place, 8)}"), text)
        text = _ID.sub(lambda found: self._made_up(found[0], _number(place)), text)
        text = _HASH.sub(lambda found: self._made_up(found[0], _hash(found[0], place)), text)
        return _TIME.sub(lambda found: self._time(found[0]), text)

    def _made_up(self, actual: str, told: str) -> str:
        return self._told.setdefault(actual, told)

    def _time(self, text: str) -> str:
        actual = datetime.fromisoformat(text)
        if actual in self._said_times or abs(actual - self._began) > timedelta(days=400):
            return text
        after = round((actual - self._began) / ROUNDED_TO) * ROUNDED_TO
        return (MOMENT + after).isoformat().replace("+00:00", "Z")


class Judge:
    """Holds answers and examples against the schemas of an OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._validators: dict[str, Any] = {}

    def errors(self, value: Any, schema: dict[str, Any]) -> list[str]:
        """What is wrong with the value."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**schema, "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return [f"{error.instance_path}: {error.message}" for error in self._validators[key].iter_errors(value)]

    def answer_errors(self, played: Played) -> list[str]:
        """What is wrong with the answer by the document: its status, its media type, its content."""
        responses = played.operation["responses"]
        described = responses[answer_key(responses, played.response.status_code)]
        media_type = played.response.headers.get("content-type", "").partition(";")[0]
        content = described.get("content", {})
        if not content:
            return []
        if media_type not in content:
            return [f"{media_type} is none of {sorted(content)}"]
        answer = played.response.text if played.answer is None else played.answer
        return self.errors(answer, content[media_type].get("schema", {}))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of an OpenAPI document, by method and path."""
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield f"{method.upper()} {path}", operation


def missing_examples(document: dict[str, Any]) -> list[str]:
    """The required parameters, bodies and answers in JSON that a reader sees no example of."""
    missing = []
    for name, operation in operations(document):
        places = {f"{name}: {where}": place for where, place in _places(operation)}
        missing += [where for where, place in places.items() if not _examples(place)]
    return missing


def wrong_examples(document: dict[str, Any]) -> list[str]:
    """The examples that are not what the schema beside them demands."""
    judge = Judge(document)
    return [
        f"{name}: {where}: {error}"
        for name, operation in operations(document)
        for where, place in _places(operation, required=False)
        for example in _examples(place)
        for error in judge.errors(example, place["schema"])
    ]


def _places(operation: dict[str, Any], *, required: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where an operation can have examples, or (`required`) must."""
    for parameter in operation.get("parameters", ()):
        if parameter.get("required") or not required:
            yield f"{parameter['in']} {parameter['name']}", parameter
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield "body", media
    for status, response in operation["responses"].items():
        for media_type, media in response.get("content", {}).items():
            if not required or (status.startswith("2") and media_type == "application/json"):
                yield f"{status} {media_type}", media


def _examples(place: dict[str, Any]) -> list[Any]:
    alone = [place["example"]] if "example" in place else []
    return alone + [example["value"] for example in place.get("examples", {}).values()]


def write_record(story: Story, answers: dict[str, Any]) -> None:
    """Writes the recorded answers."""
    story.record.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _digits(place: str, count: int) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:count]


def _number(place: str) -> str:
    number = int.from_bytes(hashlib.sha256(place.encode()).digest())
    return "01kjq9h4" + "".join(_ALPHABET[number >> (5 * index) & 31] for index in range(18))


def _hash(actual: str, place: str) -> str:
    prefix = "sha256:" if actual.startswith("sha256:") else ""
    return prefix + hashlib.sha256(place.encode()).hexdigest()
