"""Records the answers of the API's examples: plays each story on a real service. Part of `make docs`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import asyncpg
from tests.config_service.stories import stage_of as stage_of_config_service
from tests.config_service.surroundings import running
from tests.environment import Trusted, create_database, prepare_cluster
from tests.orchestrator.platform import running_platform
from tests.orchestrator.stories import stage_of as stage_of_orchestrator
from tests.stories import answers_of, write_record

from incidentfox.local.postgres import EmbeddedPostgres


async def record(postgres: EmbeddedPostgres, trusted: Trusted) -> None:
    """Every story, each on a database of its own."""
    async with running(create_database(postgres, "config_story"), trusted) as service:
        stage = await stage_of_config_service(service)
        write_record(stage.story, await answers_of(stage))
    database = create_database(postgres, "orchestrator_story")
    owner = await asyncpg.connect(database.superuser_url)
    async with running_platform(database, trusted, owner) as platform:
        stage = await stage_of_orchestrator(platform)
        write_record(stage.story, await answers_of(stage))
    await owner.close()


def main() -> None:
    """Records the stories on a Postgres of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, Postgres runs as somebody else
        with EmbeddedPostgres(folder / "data", durable=False) as postgres:
            prepare_cluster(postgres)
            asyncio.run(record(postgres, Trusted(folder)))


if __name__ == "__main__":
    main()
