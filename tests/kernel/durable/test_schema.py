"""The schema is the owner's: made and changed by `migrate` alone, and each service sees only its own."""

import asyncio

import asyncpg
import pytest

from incidentfox.kernel.durable import Engine, EngineSettings, Job, NotMigrated, enqueue, migrate, schema_name

pytestmark = pytest.mark.anyio


async def test_migrating_again_changes_nothing_and_keeps_the_grants(services, owner) -> None:
    query = "SELECT version FROM agent_dbos.dbos_migrations"
    before = await owner.fetchval(query)
    await asyncio.to_thread(migrate, services.owner_url, "agent", services.agent_role)
    assert await owner.fetchval(query) == before


async def test_launching_without_the_schema_fails_clearly_and_creates_nothing(services, owner) -> None:
    engine = Engine(EngineSettings(service="nobody", database_url=services.agent_url))
    with pytest.raises(NotMigrated, match="nobody_dbos does not exist: migrate the database as its owner first"):
        await engine.launch()
    assert await owner.fetchval("SELECT to_regnamespace('nobody_dbos')") is None


async def test_launching_on_an_old_schema_fails_clearly(services, owner, settings) -> None:
    version = await owner.fetchval("SELECT version FROM agent_dbos.dbos_migrations")
    await owner.execute("UPDATE agent_dbos.dbos_migrations SET version = 7")
    try:
        with pytest.raises(NotMigrated, match=f"at version 7, this release needs {version}"):
            await Engine(settings).launch()
    finally:
        await owner.execute("UPDATE agent_dbos.dbos_migrations SET version = $1", version)


async def test_launching_on_another_services_schema_fails_clearly(services, owner) -> None:
    engine = Engine(EngineSettings(service="orchestrator", database_url=services.agent_url))
    with pytest.raises(NotMigrated, match="may not use schema orchestrator_dbos"):
        await engine.launch()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM orchestrator_dbos.workflow_status",
        "SELECT count(*) FROM orchestrator_dbos.workflow_input",
        "SELECT count(*) FROM orchestrator_dbos.operation_outputs",
        "INSERT INTO orchestrator_dbos.workflow_input (workflow_uuid) VALUES ('x')",
        "CREATE TABLE agent_dbos.own (x int)",
        "ALTER TABLE agent_dbos.workflow_status ADD COLUMN own int",
        "TRUNCATE agent_dbos.workflow_status",
        "UPDATE agent_dbos.dbos_migrations SET version = 1",
    ],
)
async def test_a_service_role_is_kept_to_rows_of_its_own_schema(services, owner, statement: str) -> None:
    connection = await asyncpg.connect(services.agent_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_service_role_cannot_enqueue_for_another_service(services, owner) -> None:
    connection = await asyncpg.connect(services.agent_url)
    job = Job(service="orchestrator", queue="q", workflow="w", workflow_id="w1")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await enqueue(connection, job)
    finally:
        await connection.close()


async def test_the_public_has_no_right_to_anything(owner) -> None:
    granted = await owner.fetchval(
        "SELECT count(*) FROM information_schema.role_table_grants"
        " WHERE table_schema = 'agent_dbos' AND grantee = 'PUBLIC'"
    )
    executable = await owner.fetchval(
        "SELECT count(*) FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a"
        " WHERE pronamespace = 'agent_dbos'::regnamespace AND a.grantee = 0"
    )
    assert (granted, executable) == (0, 0)


def test_only_a_plain_name_becomes_a_schema() -> None:
    assert schema_name("agent") == "agent_dbos"
    for name in ("", "Agent", "agent; drop", "agent-1", '"x"'):
        with pytest.raises(ValueError, match="Not a service name"):
            schema_name(name)
