"""Examples of a service's operations, told as one story: requests in the order in which they work, and their answers.

A service writes the requests down (`Step`). The answers are not written by hand: the tests send every step to the real
service, compare what comes back with the recorded answers, and renew the record with `make docs`. The OpenAPI document
shows both; so does docs/reference/api-examples.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

Values = Mapping[str, str]
"""What earlier answers gave, by the name that later steps use."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z_]*)\}")


@dataclass(frozen=True)
class Step:
    """One call. `{name}` in its URL, headers and body stands for what an earlier step gave.

    `caller` is a service identity, a name that an earlier step gave (its value is the bearer token), or `nobody`.
    `gives` takes values out of the answer: name → JSON Pointer. `shows` are the keys that the document shows of an
    answer that is too long to read; none: all.
    """

    title: str
    caller: str
    call: str
    body: Any = None
    status: int = 200
    headers: Values = field(default_factory=dict)
    gives: Values = field(default_factory=dict)
    shows: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The title as the name of an example."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def method(self) -> str:
        """`POST`."""
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path as it is sent, without the query."""
        return self.call.partition(" ")[2].partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query by name."""
        return dict(parse_qsl(self.call.partition("?")[2], strict_parsing="?" in self.call))

    def filled(self, values: Values) -> Step:
        """The step with its placeholders replaced; names that nobody gave stay as they are."""
        return replace(
            self,
            call=_filled(self.call, values),
            headers={name: _filled(value, values) for name, value in self.headers.items()},
            body=_filled(self.body, values),
        )

    def given(self, answer: Any) -> dict[str, str]:
        """What the answer gives to later steps; KeyError where it does not hold it."""
        return {name: _at(answer, pointer) for name, pointer in self.gives.items()}

    def shown(self, answer: Any) -> Any:
        """What the document shows of the answer."""
        return {key: answer[key] for key in self.shows} if self.shows else answer


@dataclass(frozen=True)
class Story:
    """The steps of a service, and the file of their recorded answers: JSON, by title."""

    steps: tuple[Step, ...]
    record: Path

    def answers(self) -> dict[str, Any]:
        """The recorded answers by title; None for an answer without JSON."""
        answers: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8")) if self.record.exists() else {}
        return answers

    def told(self) -> Iterator[tuple[Step, Any]]:
        """Each step as a reader sees it, with its recorded answer."""
        answers = self.answers()
        values: dict[str, str] = {}
        for step in self.steps:
            answer = answers.get(step.title)
            yield step.filled(values), answer
            if answer is not None:
                values |= step.given(answer)


StoryMaker = Callable[[], Story]


def show_examples(document: dict[str, Any], story: Story) -> None:
    """Puts the story's requests and answers into an OpenAPI document. LookupError for a call that it does not know."""
    finder = OperationFinder(document)
    seen: dict[tuple[int, str, str], dict[str, Any]] = {}
    for step, answer in story.told():
        operation, path_values = finder.find(step)
        sent = {"path": path_values, "query": step.query, "header": step.headers}
        for parameter in operation.get("parameters", ()):
            value = sent.get(parameter["in"], {}).get(parameter["name"])
            if value is not None:
                found = seen.setdefault((id(operation), parameter["in"], parameter["name"]), {})
                typed = _typed(value, parameter["schema"])
                if typed not in found.values():
                    found[step.key] = typed
                _show(parameter, found)
        if step.body is not None:
            _add(operation["requestBody"]["content"]["application/json"], step, step.body)
        if answer is not None:
            _add_answer(operation["responses"], step, answer)


class OperationFinder:
    """Finds the operation of an OpenAPI document that a call is meant for."""

    def __init__(self, document: dict[str, Any]) -> None:
        paths = sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
        self._paths = [(template, _pattern(template), operations) for template, operations in paths]

    def find(self, step: Step) -> tuple[dict[str, Any], dict[str, str]]:
        """The operation and the values of its path parameters. The path with the fewest parameters wins."""
        for _, pattern, operations in self._paths:
            match = pattern.fullmatch(step.path)
            if match and step.method.lower() in operations:
                return operations[step.method.lower()], {
                    key: unquote(value) for key, value in match.groupdict().items()
                }
        raise LookupError(f"The example {step.title!r} calls {step.call!r}, which is no operation of this service.")


def answer_key(responses: Mapping[str, Any], status: int) -> str:
    """Under which key an OpenAPI document describes an answer with this status; LookupError for none."""
    for key in (str(status), f"{status // 100}XX"):
        if key in responses:
            return key
    raise LookupError(f"The document does not know of a {status}; it knows {sorted(responses)}.")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    names = [f"(?P<{name}>[^/]+)" for name in parts[1::2]]
    literals = [re.escape(part) for part in parts[::2]]
    return re.compile("".join(part + name for part, name in zip(literals, [*names, ""], strict=True)))


def _add_answer(responses: dict[str, Any], step: Step, answer: Any) -> None:
    key = answer_key(responses, step.status)
    content = responses[key].get("content", {})
    media_type = next((name for name in content if name.endswith("json")), None)
    if media_type is None:
        return
    # The description of a problem is one object for all operations; an example belongs to one of them.
    media = {**content[media_type], "examples": dict(content[media_type].get("examples", {}))}
    responses[key] = {**responses[key], "content": {**content, media_type: media}}
    _add(media, step, answer)


def _add(media: dict[str, Any], step: Step, value: Any) -> None:
    media.setdefault("examples", {})[step.key] = {"summary": step.title, "value": value}


def _show(parameter: dict[str, Any], found: Mapping[str, Any]) -> None:
    """One value as `example`, several as `examples`: a document may not hold both."""
    parameter.pop("example", None)
    if len(found) == 1:
        parameter["example"] = next(iter(found.values()))
    else:
        parameter["examples"] = {key: {"value": value} for key, value in found.items()}


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    types = {schema.get("type")} | {option.get("type") for option in schema.get("anyOf", ())}
    if "integer" in types:
        return int(text)
    return text == "true" if "boolean" in types else text


def _filled(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_filled(item, values) for item in value]
    return value


def _at(answer: Any, pointer: str) -> str:
    for token in pointer.split("/")[1:]:
        answer = answer[int(token)] if isinstance(answer, list) else answer[token]
    return str(answer)
