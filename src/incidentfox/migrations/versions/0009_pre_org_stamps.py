"""A stamp for each organisation, raised by whatever changes its tree, its configuration or its routing.

It is raised in the transaction of the change and by triggers, so that no writer can forget it, and told to every
replica at commit. A cache that knows the stamp at which it read knows whether it is out of date by reading one row.

The function below answers a routing look-up in one round trip: it binds its own transaction to the tenant, as a session
does, and reads under the same row-level security, with the rights of the caller.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0009"
down_revision = "0008"

_ROLE = "incidentfox_config"
_WATCHED = ("org_nodes", "config_node_ancestry", "node_configurations", "config_routing_identifiers")
_ROWS = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}


def upgrade() -> None:
    """Creates the table, the triggers that raise stamps, and the look-up."""
    op.execute("CREATE TABLE config_org_stamps (org_id text PRIMARY KEY, stamp bigint NOT NULL)")
    isolate_tenants("config_org_stamps")
    grant("config_org_stamps", _ROLE, ("SELECT", "INSERT", "UPDATE"))
    op.execute(
        """
        CREATE FUNCTION config_raise_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO config_org_stamps AS kept (org_id, stamp)
                SELECT DISTINCT org_id, 1 FROM changed ORDER BY org_id
                ON CONFLICT (org_id) DO UPDATE SET stamp = kept.stamp + 1;
            PERFORM pg_notify('config_org_stamps', org_id) FROM (SELECT DISTINCT org_id FROM changed) AS orgs;
            RETURN NULL;
        END $$
        """
    )
    for table in _WATCHED:
        for event, rows in _ROWS.items():
            op.execute(
                f"CREATE TRIGGER config_raise_stamp_on_{event.lower()} AFTER {event} ON {table}"
                f" REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION config_raise_stamp()"
            )
    op.execute(
        """
        CREATE FUNCTION config_route_owners(
            org text, team text, kinds text[], names text[], "values" text[], prefixes text[]
        ) RETURNS TABLE (kind text, name text, value text, team_node_id text)
        LANGUAGE plpgsql VOLATILE AS $$
        #variable_conflict use_column
        BEGIN
            PERFORM set_config('incidentfox.org_id', org, true), set_config('incidentfox.team_node_id', team, true);
            RETURN QUERY
                SELECT owned.kind, owned.name, owned.value, owned.team_node_id
                FROM unnest(kinds, names, "values") AS asked (kind, name, value)
                JOIN config_routing_identifiers owned
                    ON owned.org_id = org AND owned.kind = asked.kind
                    AND owned.name = asked.name AND owned.value = asked.value;
            RETURN QUERY
                SELECT owned.kind, owned.name, owned.value, owned.team_node_id
                FROM config_routing_identifiers owned
                WHERE owned.org_id = org AND owned.kind = 'service_pattern' AND owned.name = ANY (prefixes);
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION config_route_owners FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION config_route_owners TO {_ROLE}")
