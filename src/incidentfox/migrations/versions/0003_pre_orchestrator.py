"""The Orchestrator's tables: webhook endpoints and their secrets, deliveries, incidents, limits, refusals.

Every one carries `org_id` under forced row-level security. An endpoint alone may be read before its tenant is known,
by whoever names its unguessable id: that is how a webhook finds its tenant.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0003"
down_revision = "0002"

_ROLE = "incidentfox_orchestrator"


def upgrade() -> None:
    """Creates the tables, their policies and the service's rights on them."""
    _endpoints()
    _incidents()
    _deliveries()
    _limits()
    _idempotency()


def _endpoints() -> None:
    op.execute(
        """
        CREATE TABLE orchestrator_webhook_endpoints (
            endpoint_id text PRIMARY KEY,
            org_id text NOT NULL,
            source text NOT NULL,
            name text NOT NULL,
            rate_per_minute integer NOT NULL CHECK (rate_per_minute > 0),
            burst integer NOT NULL CHECK (burst > 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            disabled_at timestamptz
        )
        """
    )
    op.execute(
        "CREATE INDEX orchestrator_webhook_endpoints_org ON orchestrator_webhook_endpoints (org_id, endpoint_id)"
    )
    isolate_tenants("orchestrator_webhook_endpoints", proof=("endpoint_id", "incidentfox.endpoint_id"))
    grant("orchestrator_webhook_endpoints", _ROLE, ("SELECT", "INSERT", "UPDATE"))
    op.execute(
        """
        CREATE TABLE orchestrator_webhook_secrets (
            secret_id text PRIMARY KEY,
            org_id text NOT NULL,
            endpoint_id text NOT NULL REFERENCES orchestrator_webhook_endpoints,
            ciphertext bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            expires_at timestamptz
        )
        """
    )
    op.execute(
        "CREATE INDEX orchestrator_webhook_secrets_endpoint ON orchestrator_webhook_secrets (endpoint_id, secret_id)"
    )
    isolate_tenants("orchestrator_webhook_secrets")
    grant("orchestrator_webhook_secrets", _ROLE, ("SELECT", "INSERT", "UPDATE"))


def _incidents() -> None:
    op.execute(
        """
        CREATE TABLE orchestrator_incidents (
            incident_id text PRIMARY KEY,
            org_id text NOT NULL,
            team_node_id text,
            endpoint_id text NOT NULL REFERENCES orchestrator_webhook_endpoints,
            source text NOT NULL,
            external_id text NOT NULL,
            title text NOT NULL,
            url text,
            status text NOT NULL CHECK (status IN ('triggered', 'acknowledged', 'resolved')),
            status_at timestamptz,
            resolved_at timestamptz,
            reopened_at timestamptz,
            run_id text,
            run_triggered_at timestamptz,
            opened_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            UNIQUE (endpoint_id, external_id)
        )
        """
    )
    op.execute("CREATE INDEX orchestrator_incidents_org ON orchestrator_incidents (org_id, incident_id)")
    isolate_tenants("orchestrator_incidents", team_column="team_node_id")
    grant("orchestrator_incidents", _ROLE, ("SELECT", "INSERT", "UPDATE"))
    op.execute(
        """
        CREATE TABLE orchestrator_incident_events (
            delivery_id text PRIMARY KEY,
            org_id text NOT NULL,
            team_node_id text,
            incident_id text NOT NULL REFERENCES orchestrator_incidents,
            event_type text NOT NULL,
            action text NOT NULL,
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        "CREATE INDEX orchestrator_incident_events_incident ON orchestrator_incident_events (incident_id, occurred_at)"
    )
    isolate_tenants("orchestrator_incident_events", team_column="team_node_id")
    grant("orchestrator_incident_events", _ROLE, ("SELECT", "INSERT"))


def _deliveries() -> None:
    # No foreign key to the endpoint: its share lock on the one row of a busy endpoint would cost every delivery, and
    # endpoints are never deleted, only disabled.
    op.execute(
        """
        CREATE TABLE orchestrator_deliveries (
            delivery_id text PRIMARY KEY,
            org_id text NOT NULL,
            endpoint_id text NOT NULL,
            source text NOT NULL,
            delivery_key text NOT NULL,
            event_type text NOT NULL,
            event jsonb NOT NULL,
            body_sha256 bytea NOT NULL,
            status text NOT NULL DEFAULT 'received'
                CHECK (status IN ('received', 'processed', 'unrouted', 'failed')),
            team_node_id text,
            incident_id text REFERENCES orchestrator_incidents,
            run_id text,
            reason text,
            correlation_id text NOT NULL,
            traceparent text,
            received_at timestamptz NOT NULL DEFAULT now(),
            processed_at timestamptz,
            UNIQUE (endpoint_id, delivery_key)
        )
        """
    )
    op.execute("CREATE INDEX orchestrator_deliveries_org ON orchestrator_deliveries (org_id, delivery_id)")
    isolate_tenants("orchestrator_deliveries", team_column="team_node_id")
    grant("orchestrator_deliveries", _ROLE, ("SELECT", "INSERT", "UPDATE"))


def _limits() -> None:
    # UNLOGGED: a limit that starts afresh after a crash of the database harms nobody, and writing it costs no flush.
    op.execute(
        """
        CREATE UNLOGGED TABLE orchestrator_rate_limits (
            endpoint_id text PRIMARY KEY,
            org_id text NOT NULL,
            full_at double precision NOT NULL,
            seen_at double precision NOT NULL,
            granted integer NOT NULL
        )
        """
    )
    isolate_tenants("orchestrator_rate_limits")
    grant("orchestrator_rate_limits", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))
    op.execute(
        """
        CREATE TABLE orchestrator_refusals (
            endpoint_id text NOT NULL REFERENCES orchestrator_webhook_endpoints,
            day date NOT NULL,
            reason text NOT NULL,
            org_id text NOT NULL,
            count bigint NOT NULL,
            last_at timestamptz NOT NULL,
            samples jsonb NOT NULL DEFAULT '[]',
            PRIMARY KEY (endpoint_id, day, reason)
        )
        """
    )
    isolate_tenants("orchestrator_refusals")
    grant("orchestrator_refusals", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))


def _idempotency() -> None:
    op.execute(
        """
        CREATE TABLE orchestrator_idempotency_keys (
            org_id text NOT NULL,
            idempotency_key text NOT NULL,
            fingerprint text NOT NULL,
            response jsonb,
            created_at timestamptz NOT NULL DEFAULT now(),
            completed_at timestamptz,
            PRIMARY KEY (org_id, idempotency_key)
        )
        """
    )
    isolate_tenants("orchestrator_idempotency_keys")
    grant("orchestrator_idempotency_keys", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))
