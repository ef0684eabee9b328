"""The Config Service's tables: tree, configuration, secrets, routing, tokens, audit, runs with timeline and effects.

Every one carries `org_id` under forced row-level security, and its team where it belongs to one. A team-bound
transaction sees its own node and the nodes above it (it inherits from them), never a sibling. Tokens and sign-in codes
alone may be read before the tenant is known, by whoever shows the value whose hash is stored.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0002"
down_revision = "0001"

_ROLE = "incidentfox_config"
_ORG = "org_id = current_setting('incidentfox.org_id', true)"
_WHOLE_ORG = "current_setting('incidentfox.team_node_id', true) = '*'"
_OWN = "{column} = current_setting('incidentfox.team_node_id', true)"
_ON_OWN_PATH = (
    "{column} IN (SELECT a.ancestor_id FROM config_node_ancestry a"
    " WHERE a.org_id = current_setting('incidentfox.org_id', true)"
    " AND a.node_id = current_setting('incidentfox.team_node_id', true))"
)


def upgrade() -> None:
    """Creates the tables, their policies and the service's rights on them."""
    _tree()
    _configuration()
    _secrets()
    _routing()
    _tokens()
    _sign_in()
    _audit()
    _runs()
    _run_states()
    _timeline()
    _effects()
    _recordings()
    _idempotency()


def _isolate_path(table: str, column: str, writable: str) -> None:
    """A team sees the rows of the nodes on its own path and writes only what `writable` says."""
    visible = f"{_ORG} AND ({_WHOLE_ORG} OR {_ON_OWN_PATH.format(column=column)})"
    allowed = f"{_ORG} AND {writable}"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({visible}) WITH CHECK ({allowed})")


def _tree() -> None:
    op.execute(
        """
        CREATE TABLE org_nodes (
            org_id text NOT NULL,
            node_id text NOT NULL,
            parent_id text,
            kind text NOT NULL CHECK (kind IN ('org', 'unit', 'team')),
            name text NOT NULL,
            version integer NOT NULL DEFAULT 1,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            PRIMARY KEY (org_id, node_id),
            FOREIGN KEY (org_id, parent_id) REFERENCES org_nodes,
            CHECK ((kind = 'org') = (parent_id IS NULL)),
            CHECK ((kind = 'org') = (node_id = org_id))
        )
        """
    )
    op.execute("CREATE INDEX org_nodes_parent ON org_nodes (org_id, parent_id)")
    # The closure of the tree, each node at distance 0 of itself: inheritance, "every team below" and the policies
    # below read a path in one indexed look-up instead of a recursion.
    op.execute(
        """
        CREATE TABLE config_node_ancestry (
            org_id text NOT NULL,
            node_id text NOT NULL,
            ancestor_id text NOT NULL,
            distance integer NOT NULL CHECK (distance BETWEEN 0 AND 17),
            PRIMARY KEY (org_id, node_id, ancestor_id),
            FOREIGN KEY (org_id, node_id) REFERENCES org_nodes,
            FOREIGN KEY (org_id, ancestor_id) REFERENCES org_nodes
        )
        """
    )
    op.execute("CREATE INDEX config_node_ancestry_below ON config_node_ancestry (org_id, ancestor_id)")
    isolate_tenants("config_node_ancestry", team_column="node_id")
    grant("config_node_ancestry", _ROLE, ("SELECT", "INSERT", "DELETE"))
    _isolate_path("org_nodes", "node_id", _WHOLE_ORG)
    grant("org_nodes", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))


def _configuration() -> None:
    op.execute(
        """
        CREATE TABLE node_configurations (
            org_id text NOT NULL,
            node_id text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            document jsonb NOT NULL CHECK (jsonb_typeof(document) = 'object'),
            hash text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            PRIMARY KEY (org_id, node_id, version),
            FOREIGN KEY (org_id, node_id) REFERENCES org_nodes
        )
        """
    )
    _isolate_path("node_configurations", "node_id", f"({_WHOLE_ORG} OR {_OWN.format(column='node_id')})")
    # Versions are immutable: no UPDATE, no DELETE.
    grant("node_configurations", _ROLE, ("SELECT", "INSERT"))
    # The canonical text rather than jsonb, so that the database itself can vouch for the hash.
    op.execute(
        """
        CREATE TABLE config_effective_documents (
            org_id text NOT NULL,
            node_id text NOT NULL,
            hash text NOT NULL,
            document text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, node_id, hash),
            CHECK (hash = 'sha256:' || encode(sha256(convert_to(document, 'UTF8')), 'hex'))
        )
        """
    )
    isolate_tenants("config_effective_documents", team_column="node_id")
    grant("config_effective_documents", _ROLE, ("SELECT", "INSERT"))


def _secrets() -> None:
    op.execute(
        """
        CREATE TABLE config_secrets (
            org_id text NOT NULL,
            node_id text NOT NULL,
            name text NOT NULL,
            ciphertext bytea NOT NULL,
            key_id text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL,
            PRIMARY KEY (org_id, node_id, name),
            FOREIGN KEY (org_id, node_id) REFERENCES org_nodes
        )
        """
    )
    _isolate_path("config_secrets", "node_id", f"({_WHOLE_ORG} OR {_OWN.format(column='node_id')})")
    grant("config_secrets", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))


def _routing() -> None:
    op.execute(
        """
        CREATE TABLE config_routing_identifiers (
            org_id text NOT NULL,
            kind text NOT NULL,
            name text NOT NULL,
            value text NOT NULL CHECK (value <> ''),
            team_node_id text NOT NULL,
            given text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT config_routing_identifiers_one_owner PRIMARY KEY (org_id, kind, name, value),
            FOREIGN KEY (org_id, team_node_id) REFERENCES org_nodes
        )
        """
    )
    op.execute("CREATE INDEX config_routing_identifiers_team ON config_routing_identifiers (org_id, team_node_id)")
    isolate_tenants("config_routing_identifiers", team_column="team_node_id")
    # Who owns what is a directory of the whole organisation: a conflict must name the owner.
    op.execute(f"CREATE POLICY directory ON config_routing_identifiers FOR SELECT USING ({_ORG})")
    grant("config_routing_identifiers", _ROLE, ("SELECT", "INSERT", "DELETE"))


def _tokens() -> None:
    _token_table(
        "team_tokens", "team_node_id text NOT NULL,", ", FOREIGN KEY (org_id, team_node_id) REFERENCES org_nodes"
    )
    isolate_tenants("team_tokens", team_column="team_node_id", proof=("token_hash", "incidentfox.token_hash"))
    _token_table("org_admin_tokens", "", "")
    rule = f"{_ORG} AND {_WHOLE_ORG}"
    op.execute("ALTER TABLE org_admin_tokens ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE org_admin_tokens FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON org_admin_tokens USING ({rule}) WITH CHECK ({rule})")
    op.execute(
        "CREATE POLICY proof ON org_admin_tokens FOR SELECT"
        " USING (token_hash = current_setting('incidentfox.token_hash', true))"
    )


def _token_table(table: str, team_column: str, team_reference: str) -> None:
    op.execute(
        f"""
        CREATE TABLE {table} (
            token_id text PRIMARY KEY,
            org_id text NOT NULL,
            {team_column}
            name text NOT NULL,
            scopes text[] NOT NULL,
            token_hash text NOT NULL UNIQUE,
            hint text NOT NULL,
            issued_by_token_id text,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz
            {team_reference}
        )
        """
    )
    op.execute(f"CREATE INDEX {table}_org ON {table} (org_id, token_id)")
    # A token is revoked and noticed, nothing else about it ever changes.
    grant(table, _ROLE, ("SELECT", "INSERT", "UPDATE (revoked_at, last_used_at)"))


def _sign_in() -> None:
    op.execute(
        """
        CREATE TABLE config_sign_in_codes (
            code_hash text PRIMARY KEY,
            org_id text NOT NULL,
            team_node_id text,
            token_id text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            used_at timestamptz
        )
        """
    )
    isolate_tenants("config_sign_in_codes", team_column="team_node_id", proof=("code_hash", "incidentfox.code_hash"))
    grant("config_sign_in_codes", _ROLE, ("SELECT", "INSERT", "UPDATE (used_at)", "DELETE"))


def _audit() -> None:
    op.execute(
        """
        CREATE TABLE config_audit_events (
            org_id text NOT NULL,
            event_id text NOT NULL,
            event_key text NOT NULL,
            team_node_id text,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            action text NOT NULL,
            target text NOT NULL,
            correlation_id text,
            source_address text,
            before_hash text,
            after_hash text,
            detail jsonb NOT NULL DEFAULT '{}',
            PRIMARY KEY (org_id, event_id),
            UNIQUE (org_id, event_key)
        )
        """
    )
    op.execute("CREATE INDEX config_audit_events_action ON config_audit_events (org_id, action, event_id)")
    op.execute("CREATE INDEX config_audit_events_team ON config_audit_events (org_id, team_node_id, event_id)")
    isolate_tenants("config_audit_events", team_column="team_node_id")
    grant("config_audit_events", _ROLE, ("SELECT", "INSERT"))


def _runs() -> None:
    op.execute(
        """
        CREATE TABLE agent_runs (
            org_id text NOT NULL,
            run_id text NOT NULL,
            team_node_id text NOT NULL,
            status text NOT NULL DEFAULT 'queued',
            input jsonb NOT NULL,
            source text NOT NULL,
            delivery_id text,
            incident_id text,
            correlation_id text NOT NULL,
            fingerprint text NOT NULL,
            config_hash text,
            answer jsonb,
            error text,
            usage jsonb NOT NULL DEFAULT '{}',
            ending text,
            last_seq integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            started_at timestamptz,
            finished_at timestamptz,
            PRIMARY KEY (org_id, run_id),
            FOREIGN KEY (org_id, team_node_id) REFERENCES org_nodes,
            CONSTRAINT agent_runs_status CHECK (status IN
                ('queued', 'running', 'waiting_approval', 'succeeded', 'failed', 'timed_out', 'cancelled')),
            CONSTRAINT agent_runs_answer CHECK (status <> 'succeeded' OR answer IS NOT NULL),
            CONSTRAINT agent_runs_finished CHECK
                ((status IN ('succeeded', 'failed', 'timed_out', 'cancelled')) = (finished_at IS NOT NULL))
        )
        """
    )
    op.execute("CREATE INDEX agent_runs_team ON agent_runs (org_id, team_node_id, run_id)")
    op.execute("CREATE INDEX agent_runs_state ON agent_runs (org_id, status, run_id)")
    isolate_tenants("agent_runs", team_column="team_node_id")
    grant("agent_runs", _ROLE, ("SELECT", "INSERT"))
    # What a run was asked never changes; only how it goes.
    changing = "status, config_hash, answer, error, usage, ending, last_seq, started_at, finished_at"
    op.execute(f"GRANT UPDATE ({changing}) ON agent_runs TO {_ROLE}")


def _run_states() -> None:
    op.execute(
        """
        CREATE FUNCTION config_enforce_run_status() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NEW.status <> 'queued' THEN
                    RAISE EXCEPTION 'a run begins as queued, not as %', NEW.status
                        USING ERRCODE = 'check_violation', CONSTRAINT = 'agent_runs_status_transition';
                END IF;
                RETURN NEW;
            END IF;
            IF NEW.status <> OLD.status AND NOT (CASE OLD.status
                WHEN 'queued' THEN NEW.status IN ('running', 'failed', 'cancelled')
                WHEN 'running' THEN NEW.status IN
                    ('waiting_approval', 'succeeded', 'failed', 'timed_out', 'cancelled')
                WHEN 'waiting_approval' THEN NEW.status IN ('running', 'failed', 'timed_out', 'cancelled')
                ELSE false END)
            THEN
                RAISE EXCEPTION 'a run cannot go from % to %', OLD.status, NEW.status
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'agent_runs_status_transition';
            END IF;
            IF OLD.finished_at IS NOT NULL AND (NEW.answer, NEW.error, NEW.usage, NEW.config_hash, NEW.finished_at)
                IS DISTINCT FROM (OLD.answer, OLD.error, OLD.usage, OLD.config_hash, OLD.finished_at)
            THEN
                RAISE EXCEPTION 'a finished run does not change'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'agent_runs_status_transition';
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER config_run_status BEFORE INSERT OR UPDATE ON agent_runs"
        " FOR EACH ROW EXECUTE FUNCTION config_enforce_run_status()"
    )


def _timeline() -> None:
    op.execute(
        """
        CREATE TABLE config_run_events (
            org_id text NOT NULL,
            run_id text NOT NULL,
            seq integer NOT NULL CHECK (seq > 0),
            team_node_id text NOT NULL,
            event_key text NOT NULL,
            type text NOT NULL,
            at timestamptz NOT NULL,
            data jsonb NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, run_id, seq),
            UNIQUE (org_id, run_id, event_key),
            FOREIGN KEY (org_id, run_id) REFERENCES agent_runs
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX config_run_events_one_ending ON config_run_events (org_id, run_id)"
        " WHERE type = 'run.finished'"
    )
    isolate_tenants("config_run_events", team_column="team_node_id")
    grant("config_run_events", _ROLE, ("SELECT", "INSERT"))


def _effects() -> None:
    op.execute(
        """
        CREATE TABLE config_run_effects (
            org_id text NOT NULL,
            run_id text NOT NULL,
            effect_key text NOT NULL,
            team_node_id text NOT NULL,
            destination text NOT NULL,
            target text NOT NULL,
            status text NOT NULL DEFAULT 'intended' CHECK (status IN ('intended', 'done', 'failed')),
            external_id text,
            url text,
            error text,
            intended_at timestamptz NOT NULL DEFAULT now(),
            settled_at timestamptz,
            PRIMARY KEY (org_id, run_id, effect_key),
            FOREIGN KEY (org_id, run_id) REFERENCES agent_runs,
            CHECK ((status = 'intended') = (settled_at IS NULL))
        )
        """
    )
    isolate_tenants("config_run_effects", team_column="team_node_id")
    grant("config_run_effects", _ROLE, ("SELECT", "INSERT"))
    op.execute(f"GRANT UPDATE (status, external_id, url, error, settled_at) ON config_run_effects TO {_ROLE}")


def _recordings() -> None:
    op.execute(
        """
        CREATE TABLE config_recordings (
            org_id text NOT NULL,
            recording_id text NOT NULL,
            content bytea NOT NULL,
            size_bytes integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            PRIMARY KEY (org_id, recording_id)
        )
        """
    )
    # The content is compressed already; a second attempt by Postgres would only cost time.
    op.execute("ALTER TABLE config_recordings ALTER COLUMN content SET STORAGE EXTERNAL")
    isolate_tenants("config_recordings")
    grant("config_recordings", _ROLE, ("SELECT", "INSERT"))


def _idempotency() -> None:
    op.execute(
        """
        CREATE TABLE config_idempotency_keys (
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
    isolate_tenants("config_idempotency_keys")
    grant("config_idempotency_keys", _ROLE, ("SELECT", "INSERT", "UPDATE", "DELETE"))
