"""The examples of the OpenAPI document are calls that work: each is sent to the real service, in order.

An operation without an example fails the test: give it a step in `src/incidentfox/config_service/examples/`, and renew
the recorded answers with `make docs`. tests/house/test_openapi.py checks that the document with its examples is valid
OpenAPI 3.1.
"""

from __future__ import annotations

import pytest
from tests.config_service.stories import stage_of
from tests.config_service.surroundings import Service
from tests.stories import answers_of, missing_examples, wrong_examples

pytestmark = pytest.mark.anyio


async def test_every_example_works_and_is_answered_as_the_document_shows(service: Service) -> None:
    stage = await stage_of(service)
    assert await answers_of(stage) == stage.story.answers(), "Renew the record with `make docs`."


async def test_every_operation_has_examples_and_they_follow_its_schemas(service: Service) -> None:
    stage = await stage_of(service)
    assert stage.uncalled() == []
    assert missing_examples(stage.document) == []
    assert wrong_examples(stage.document) == []
