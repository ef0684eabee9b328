"""Sessions of browsers age out once they are over. Other tokens stay: the audit names them by their id."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

_TABLES = ("team_tokens", "org_admin_tokens")
# pg_temp comes last: nobody's temporary table is taken for one of ours.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"


def upgrade() -> None:
    """Creates the policies, the indexes by age and the function."""
    for table in (*_TABLES, "config_token_limits"):
        op.execute(
            f"CREATE POLICY retention ON {table} TO CURRENT_USER"
            " USING (current_setting('incidentfox.retention', true) = 'on')"
        )
    for table in _TABLES:
        # LEAST takes no notice of NULL: what came first, the end or the revocation. Not built concurrently: tokens are
        # few beside runs and events.
        op.execute(
            f"CREATE INDEX {table}_ended_sessions ON {table} ((LEAST(expires_at, revoked_at)))"
            " WHERE issued_by_token_id IS NOT NULL"
        )
    _function()


def _function() -> None:
    # A session is a token that was signed in with another. Its limit goes with it: nobody else has that hash.
    deletes = "".join(
        f"""
            WITH gone AS (
                DELETE FROM {table} WHERE token_id IN (
                    SELECT token_id FROM {table}
                    WHERE issued_by_token_id IS NOT NULL AND LEAST(expires_at, revoked_at) < before
                    ORDER BY LEAST(expires_at, revoked_at) LIMIT most FOR UPDATE SKIP LOCKED)
                RETURNING token_hash)
            SELECT coalesce(array_agg(token_hash), '{{}}') INTO hashes FROM gone;
            DELETE FROM config_token_limits WHERE token_hash = ANY (hashes);
            purged := purged + cardinality(hashes);"""
        for table in _TABLES
    )
    op.execute(
        f"""
        CREATE FUNCTION config_purge_sessions(age interval, most integer) RETURNS integer
        {_DEFINER} AS $$
        DECLARE
            before timestamptz := now() - greatest(age, interval '1 day');
            hashes text[];
            purged integer := 0;
        BEGIN
            PERFORM set_config('incidentfox.retention', 'on', true);{deletes}
            RETURN purged;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION config_purge_sessions(interval, integer) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION config_purge_sessions(interval, integer) TO incidentfox_config")
