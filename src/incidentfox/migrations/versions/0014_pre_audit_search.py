"""Indexes for each filter of the audit, and a waiting list that an event cannot leave before it is sealed.

The indexes are built CONCURRENTLY: the table is the largest of the Config Service, and every write of it adds a row
here. That is done outside of a transaction, so each step can be done again after one that failed.

The list is what tells how many events are not in the chain, in place of a comparison of all events with all links. For
that the database itself has to keep it: whoever has the service's role can no longer take an event off that no link
holds. What somebody took off before this migration is put on again.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.concurrently import create_index, without_transaction

revision = "0014"
down_revision = "0013"

# pg_temp comes last: nobody's temporary table is taken for one of ours.
_OWN_TABLES = "SET search_path = pg_catalog, public, pg_temp"
_AUDIT = ("config_audit_events", "config_audit_seals", "config_audit_unsealed")


def upgrade() -> None:
    """Guards the list, builds the indexes and puts on the list what is missing there."""
    _guard()
    with without_transaction():
        for column in ("actor", "target", "at"):
            create_index(f"config_audit_events_{column}", f"config_audit_events (org_id, {column}, event_id)")
        create_index(
            "config_audit_events_correlation",
            "config_audit_events (org_id, correlation_id, event_id) WHERE correlation_id IS NOT NULL",
        )
        _put_back()


def _guard() -> None:
    op.execute(f"ALTER FUNCTION config_hand_to_sealer() {_OWN_TABLES}")
    # As whoever deletes: a transaction that is bound to a team sees no link, and so takes nothing off.
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION config_keep_until_sealed() RETURNS trigger LANGUAGE plpgsql {_OWN_TABLES} AS $$
        BEGIN
            IF EXISTS (SELECT FROM gone g WHERE NOT EXISTS (
                SELECT FROM config_audit_seals s WHERE s.org_id = g.org_id AND s.event_id = g.event_id))
            THEN
                RAISE EXCEPTION 'an audit event waits until a link holds it'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'config_audit_unsealed_until_sealed';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER config_audit_keep_until_sealed AFTER DELETE ON config_audit_unsealed"
        " REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION config_keep_until_sealed()"
    )


def _put_back() -> None:
    # FORCE binds the owner as well, who is to compare every organisation's events here. A policy for the owner alone:
    # to lift FORCE would lock the table for as long as the comparison takes.
    for table in _AUDIT:
        op.execute(f"DROP POLICY IF EXISTS put_back ON {table}")
        op.execute(
            f"CREATE POLICY put_back ON {table} TO CURRENT_USER"
            " USING (current_setting('incidentfox.put_back', true) = 'on')"
        )
    op.execute("SET incidentfox.put_back = 'on'")
    op.execute(
        "INSERT INTO config_audit_unsealed (org_id, event_id) SELECT e.org_id, e.event_id FROM config_audit_events e"
        " WHERE NOT EXISTS (SELECT FROM config_audit_seals s WHERE s.org_id = e.org_id AND s.event_id = e.event_id)"
        " AND NOT EXISTS (SELECT FROM config_audit_unsealed u WHERE u.org_id = e.org_id AND u.event_id = e.event_id)"
        " ORDER BY e.org_id, e.event_id"
    )
    op.execute("RESET incidentfox.put_back")
    for table in _AUDIT:
        op.execute(f"DROP POLICY put_back ON {table}")
