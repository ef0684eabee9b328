"""The examples of the Orchestrator's OpenAPI document are calls that work: each is sent to the real service, in order.

As tests/config_service/test_openapi_examples.py; the Config Service and the worker behind it are real, too.
"""

from __future__ import annotations

import asyncpg
import pytest
from tests.environment import Database, Trusted
from tests.orchestrator.platform import running_platform
from tests.orchestrator.stories import stage_of
from tests.stories import answers_of, missing_examples, wrong_examples

pytestmark = pytest.mark.anyio


async def test_every_operation_has_examples_that_work(
    database: Database, trusted: Trusted, owner: asyncpg.Connection
) -> None:
    async with running_platform(database, trusted, owner) as platform:
        stage = await stage_of(platform)
        assert stage.uncalled() == []
        assert missing_examples(stage.document) == []
        assert wrong_examples(stage.document) == []
        assert await answers_of(stage) == stage.story.answers(), "Renew the record with `make docs`."
