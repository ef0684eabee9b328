"""Records the answers of the API's examples: plays each story on a real service. Part of `make docs`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.config_service.stories import stage_of
from tests.config_service.surroundings import running
from tests.environment import Trusted, create_database, prepare_cluster
from tests.stories import answers_of, write_record

from incidentfox.local.postgres import EmbeddedPostgres


async def record_config_service(postgres: EmbeddedPostgres, trusted: Trusted) -> None:
    """The Config Service's story."""
    async with running(create_database(postgres, "config_story"), trusted) as service:
        stage = await stage_of(service)
        write_record(stage.story, await answers_of(stage))


def main() -> None:
    """Records every story on a Postgres of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, Postgres runs as somebody else
        with EmbeddedPostgres(folder / "data", durable=False) as postgres:
            prepare_cluster(postgres)
            asyncio.run(record_config_service(postgres, Trusted(folder)))


if __name__ == "__main__":
    main()
