"""Creates and checks the schema of a service's durable state.

`migrate` is called by whoever migrates the database (as the owner role); a service only ever checks.
"""

from __future__ import annotations

from incidentfox.kernel.durable.options import schema_name
from incidentfox.kernel.errors import Permanent


class NotMigrated(Permanent):
    """The schema of the durable state is absent, out of date, or closed to this role: migrate as the owner first."""

    title = "Database not migrated"
    default_code = "durable_not_migrated"


def migrate(owner_url: str, service: str, role: str) -> None:
    """Creates or updates `<service>_dbos` as the owner and gives `role` what a running service needs: no more.

    Blocking; idempotent; safe against parallel runs. `role` must exist. It may read and write rows and enqueue, but
    not change the schema, and nobody else may enter it.
    """
    import sqlalchemy as sa

    from incidentfox.kernel.durable import runtime

    schema = schema_name(service)
    url = sa.make_url(owner_url).set(drivername="postgresql+psycopg")
    runtime.migrate_schema(url.render_as_string(hide_password=False), schema)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    quoted_role = engine.dialect.identifier_preparer.quote_identifier(role)
    try:
        with engine.begin() as connection:
            for statement in _grants(schema, quoted_role):
                connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def _grants(schema: str, role: str) -> list[str]:
    every = f"IN SCHEMA {schema}"
    return [
        f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
        f"REVOKE ALL ON ALL TABLES {every} FROM PUBLIC",
        f"REVOKE ALL ON ALL FUNCTIONS {every} FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES {every} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES {every} TO {role}",
        f"GRANT EXECUTE ON ALL FUNCTIONS {every} TO {role}",
        # The version it is checked against is not the service's to write.
        f"REVOKE INSERT, UPDATE, DELETE ON {schema}.dbos_migrations FROM {role}",
    ]
