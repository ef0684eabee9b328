"""The hash chain over audit events: what is still to be sealed, the seals, and the checkpoints of retention.

A trigger hands every new event to the sealer, so that no writer can forget it; writers wait for nothing. The service's
role may add seals and never change or delete one. Checkpoints are written by the owner alone, when it prunes.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0004"
down_revision = "0003"

_ROLE = "incidentfox_config"
_WHOLE_ORG = (
    "org_id = current_setting('incidentfox.org_id', true) AND current_setting('incidentfox.team_node_id', true) = '*'"
)


def upgrade() -> None:
    """Creates the tables and the trigger, and hands over the events that are there already."""
    _unsealed()
    _seals()
    _checkpoints()


def _unsealed() -> None:
    # An identity column rather than the time: what was committed before another event began stands before it, whatever
    # the clocks of the replicas say.
    op.execute(
        """
        CREATE TABLE config_audit_unsealed (
            org_id text NOT NULL,
            position bigint GENERATED ALWAYS AS IDENTITY,
            event_id text NOT NULL,
            PRIMARY KEY (org_id, position)
        )
        """
    )
    # FORCE binds the owner as well, who is to copy every organisation's events here.
    op.execute("ALTER TABLE config_audit_events NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO config_audit_unsealed (org_id, event_id)"
        " SELECT org_id, event_id FROM config_audit_events ORDER BY org_id, event_id"
    )
    op.execute("ALTER TABLE config_audit_events FORCE ROW LEVEL SECURITY")
    isolate_tenants("config_audit_unsealed")
    # The sealer works for every organisation: it may see which ones wait, and nothing of what happened there.
    op.execute(
        "CREATE POLICY sealer ON config_audit_unsealed FOR SELECT"
        " USING (current_setting('incidentfox.audit_sealer', true) = 'on')"
    )
    grant("config_audit_unsealed", _ROLE, ("SELECT", "INSERT", "DELETE"))
    op.execute(
        """
        CREATE FUNCTION config_hand_to_sealer() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO config_audit_unsealed (org_id, event_id) VALUES (NEW.org_id, NEW.event_id);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER config_audit_hand_to_sealer AFTER INSERT ON config_audit_events"
        " FOR EACH ROW EXECUTE FUNCTION config_hand_to_sealer()"
    )


def _seals() -> None:
    op.execute(
        """
        CREATE TABLE config_audit_seals (
            org_id text NOT NULL,
            seq bigint NOT NULL CHECK (seq > 0),
            event_id text NOT NULL,
            previous_hash text NOT NULL,
            hash text NOT NULL,
            sealed_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, seq),
            UNIQUE (org_id, event_id)
        )
        """
    )
    _isolate_organisation("config_audit_seals")
    grant("config_audit_seals", _ROLE, ("SELECT", "INSERT"))


def _checkpoints() -> None:
    op.execute(
        """
        CREATE TABLE config_audit_checkpoints (
            org_id text NOT NULL,
            seq bigint NOT NULL CHECK (seq > 0),
            hash text NOT NULL,
            events bigint NOT NULL,
            pruned_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, seq)
        )
        """
    )
    _isolate_organisation("config_audit_checkpoints")
    grant("config_audit_checkpoints", _ROLE, ("SELECT",))


def _isolate_organisation(table: str) -> None:
    """The chain runs over all teams, so a team's credential sees none of it."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({_WHOLE_ORG}) WITH CHECK ({_WHOLE_ORG})")
