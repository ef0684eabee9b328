"""What is over ages out: finished runs with all that hangs on them, payloads of deliveries, resolved incidents.

The services' roles cannot delete any of it, and are not given the right. Each may call one function of the owner, which
takes no row that is not finished, none that is younger than a day, and a bounded number in one transaction. Row-level
security is forced on the owner too; the policies below let it through inside of these functions alone.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_OF_RUNS = ("config_run_captures", "config_run_events", "config_run_effects", "config_budget_reservations")
_CONFIG = ("agent_runs", *_OF_RUNS, "config_sign_in_codes", "config_idempotency_keys")
_ORCHESTRATOR = (
    "orchestrator_deliveries",
    "orchestrator_incidents",
    "orchestrator_incident_events",
    "orchestrator_idempotency_keys",
)
# pg_temp comes last: nobody's temporary table is taken for one of ours.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"


def upgrade() -> None:
    """Creates the policies, the indexes by age and the two functions."""
    for table in (*_CONFIG, *_ORCHESTRATOR):
        op.execute(
            f"CREATE POLICY retention ON {table} TO CURRENT_USER"
            " USING (current_setting('incidentfox.retention', true) = 'on')"
        )
    _indexes()
    _config()
    _orchestrator()


def _indexes() -> None:
    op.execute("CREATE INDEX agent_runs_age ON agent_runs (finished_at) WHERE finished_at IS NOT NULL")
    op.execute("CREATE INDEX config_run_captures_created ON config_run_captures (created_at)")
    op.execute(
        "CREATE INDEX orchestrator_deliveries_age ON orchestrator_deliveries (processed_at)"
        " WHERE processed_at IS NOT NULL AND event <> '{}'"
    )
    op.execute(
        "CREATE INDEX orchestrator_incidents_age ON orchestrator_incidents (updated_at) WHERE status = 'resolved'"
    )
    # Without it, each incident that goes would have every delivery looked at.
    op.execute(
        "CREATE INDEX orchestrator_deliveries_incident ON orchestrator_deliveries (incident_id)"
        " WHERE incident_id IS NOT NULL"
    )


def _config() -> None:
    deletes = "".join(
        f"""
            DELETE FROM {table} t USING unnest(orgs, runs) AS old (org_id, run_id)
                WHERE t.org_id = old.org_id AND t.run_id = old.run_id;"""
        for table in (*_OF_RUNS, "agent_runs")
    )
    op.execute(
        f"""
        CREATE FUNCTION config_purge(run_age interval, capture_age interval, most integer) RETURNS integer
        {_DEFINER} AS $$
        DECLARE
            orgs text[];
            runs text[];
            purged integer;
            more integer;
        BEGIN
            PERFORM set_config('incidentfox.retention', 'on', true);
            SELECT coalesce(array_agg(org_id), '{{}}'), coalesce(array_agg(run_id), '{{}}') INTO orgs, runs FROM (
                SELECT org_id, run_id FROM agent_runs
                WHERE finished_at < now() - greatest(run_age, interval '1 day')
                ORDER BY finished_at LIMIT most FOR UPDATE SKIP LOCKED) AS old;
            purged := cardinality(runs);{deletes}
            DELETE FROM config_run_captures WHERE ctid IN (
                SELECT c.ctid FROM config_run_captures c JOIN agent_runs r USING (org_id, run_id)
                WHERE c.created_at < now() - greatest(capture_age, interval '1 day') AND r.finished_at IS NOT NULL
                ORDER BY c.created_at LIMIT most FOR UPDATE OF c SKIP LOCKED);
            GET DIAGNOSTICS more = ROW_COUNT;
            purged := purged + more;
            DELETE FROM config_sign_in_codes WHERE ctid IN (
                SELECT ctid FROM config_sign_in_codes WHERE expires_at < now() - interval '1 day'
                LIMIT most FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS more = ROW_COUNT;
            purged := purged + more;
            DELETE FROM config_idempotency_keys WHERE ctid IN (
                SELECT ctid FROM config_idempotency_keys WHERE created_at < now() - interval '1 day'
                LIMIT most FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS more = ROW_COUNT;
            RETURN purged + more;
        END $$
        """
    )
    _grant("config_purge(interval, interval, integer)", "incidentfox_config")


def _orchestrator() -> None:
    # A delivery's row stays without its payload: its key is what makes a late repetition start nothing.
    op.execute(
        f"""
        CREATE FUNCTION orchestrator_purge(age interval, most integer) RETURNS integer
        {_DEFINER} AS $$
        DECLARE
            before timestamptz := now() - greatest(age, interval '1 day');
            old text[];
            purged integer;
            more integer;
        BEGIN
            PERFORM set_config('incidentfox.retention', 'on', true);
            UPDATE orchestrator_deliveries SET event = '{{}}' WHERE delivery_id IN (
                SELECT delivery_id FROM orchestrator_deliveries
                WHERE processed_at IS NOT NULL AND event <> '{{}}' AND processed_at < before
                ORDER BY processed_at LIMIT most FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS purged = ROW_COUNT;
            SELECT coalesce(array_agg(incident_id), '{{}}') INTO old FROM (
                SELECT incident_id FROM orchestrator_incidents i
                WHERE status = 'resolved' AND updated_at < before AND NOT EXISTS (
                    SELECT FROM orchestrator_deliveries d
                    WHERE d.incident_id = i.incident_id AND d.processed_at IS NULL)
                ORDER BY updated_at LIMIT most FOR UPDATE SKIP LOCKED) AS incidents;
            UPDATE orchestrator_deliveries SET incident_id = NULL WHERE incident_id = ANY (old);
            DELETE FROM orchestrator_incident_events WHERE incident_id = ANY (old);
            DELETE FROM orchestrator_incidents WHERE incident_id = ANY (old);
            purged := purged + cardinality(old);
            DELETE FROM orchestrator_idempotency_keys WHERE ctid IN (
                SELECT ctid FROM orchestrator_idempotency_keys WHERE created_at < now() - interval '1 day'
                LIMIT most FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS more = ROW_COUNT;
            RETURN purged + more;
        END $$
        """
    )
    _grant("orchestrator_purge(interval, integer)", "incidentfox_orchestrator")


def _grant(function: str, role: str) -> None:
    op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {role}")
