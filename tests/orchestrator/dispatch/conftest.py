"""The Orchestrator among its peers."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.environment import Database, Trusted
from tests.orchestrator.platform import Platform, running_platform


@pytest.fixture
async def platform(database: Database, trusted: Trusted, owner: asyncpg.Connection) -> AsyncIterator[Platform]:
    """A Config Service with a seeded organisation, an agent, and the Orchestrator's API."""
    async with running_platform(database, trusted, owner) as made:
        yield made
