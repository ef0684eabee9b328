"""What every test may ask for: a real Postgres with a fresh, migrated database, and the services' identities."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from tests.environment import Database, Trusted, cluster_folder, create_database, prepare_cluster

from incidentfox.local.postgres import EmbeddedPostgres

# A run starts dozens of processes of the product: they share what Python compiles, whatever the shell says of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The embedded Postgres speaks no TLS. asyncpg asks for it by default, and leaves an exception that nobody retrieves
# where such a connection is cut before the answer, as tests of cut connections do.
os.environ["PGSSLMODE"] = "disable"

# Plain lines: the default draws tables of a traceback's local variables, which takes seconds for each.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)

# The suite makes the same examples on every machine and does not judge their speed; `make fuzz` looks for new ones.
settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", parent=settings.get_profile("suite"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Every asynchronous test runs on asyncio, which is what the services run on."""
    return "asyncio"


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedPostgres]:
    """One throw-away Postgres for each test process, migrated once into a template."""
    folder = cluster_folder("incidentfox-postgres-")
    try:
        with EmbeddedPostgres(folder / "data", durable=False) as postgres:
            prepare_cluster(postgres)
            yield postgres
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(cluster: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh, migrated database. `url(role)` for incidentfox_owner, incidentfox_config, incidentfox_orchestrator, …"""
    fresh = create_database(cluster, f"test_{secrets.token_hex(6)}")
    yield fresh
    fresh.drop()


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Trusted:
    """The identities of all services, with each other's public keys."""
    return Trusted(tmp_path_factory.mktemp("keys"))


def shared_folder(name: str) -> Path | None:
    """The folder of real input beside the checkout, where there is one."""
    folder = Path(__file__).parents[2] / "shared" / name
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Recorded incidents; the tests that need them say so where the folder is absent."""
    folder = shared_folder("recordings")
    if folder is None:
        pytest.skip("no ../shared/recordings beside this checkout")
    return folder


@pytest.fixture(scope="session")
def payloads() -> Path:
    """Webhook bodies as the vendors publish them."""
    folder = shared_folder("payloads")
    if folder is None:
        pytest.skip("no ../shared/payloads beside this checkout")
    return folder
