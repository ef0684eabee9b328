"""The tree's own history, archived and deleted nodes, and change requests for configuration.

A node that is deleted keeps its row: runs, audit events and versions refer to it, and its id is never given out again.
What it held (identifiers, secrets, tokens, its place in the tree) goes.
"""

from __future__ import annotations

from alembic import op

from incidentfox.migrations.policies import grant, isolate_tenants

revision = "0006"
down_revision = "0005"

_ROLE = "incidentfox_config"


def upgrade() -> None:
    """Adds the columns and tables; every node that exists begins its history with its present state."""
    op.execute("ALTER TABLE org_nodes ADD COLUMN archived_at timestamptz, ADD COLUMN deleted_at timestamptz")
    op.execute("ALTER TABLE node_configurations ADD COLUMN change_request_id text")
    _node_versions()
    _change_requests()


def _node_versions() -> None:
    op.execute(
        """
        CREATE TABLE config_node_versions (
            org_id text NOT NULL,
            node_id text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            parent_id text,
            kind text NOT NULL,
            name text NOT NULL,
            archived_at timestamptz,
            deleted_at timestamptz,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            PRIMARY KEY (org_id, node_id, version),
            FOREIGN KEY (org_id, node_id) REFERENCES org_nodes
        )
        """
    )
    # Row-level security is forced on the owner as well, who here copies the rows of all tenants.
    op.execute("ALTER TABLE org_nodes NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO config_node_versions SELECT org_id, node_id, version, parent_id, kind, name, NULL, NULL,"
        " created_at, created_by FROM org_nodes"
    )
    op.execute("ALTER TABLE org_nodes FORCE ROW LEVEL SECURITY")
    on_own_path = (
        "node_id IN (SELECT a.ancestor_id FROM config_node_ancestry a"
        " WHERE a.org_id = current_setting('incidentfox.org_id', true)"
        " AND a.node_id = current_setting('incidentfox.team_node_id', true))"
    )
    own_org = "org_id = current_setting('incidentfox.org_id', true)"
    whole_org = "current_setting('incidentfox.team_node_id', true) = '*'"
    op.execute("ALTER TABLE config_node_versions ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE config_node_versions FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON config_node_versions USING ({own_org} AND ({whole_org} OR {on_own_path}))"
        f" WITH CHECK ({own_org} AND {whole_org})"
    )
    # History is immutable: no UPDATE, no DELETE.
    grant("config_node_versions", _ROLE, ("SELECT", "INSERT"))


def _change_requests() -> None:
    op.execute(
        """
        CREATE TABLE config_change_requests (
            org_id text NOT NULL,
            request_id text NOT NULL,
            node_id text NOT NULL,
            title text NOT NULL,
            change jsonb NOT NULL CHECK (jsonb_typeof(change) = 'object'),
            base_version integer NOT NULL CHECK (base_version >= 0),
            status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'applied', 'rejected', 'withdrawn')),
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            expires_at timestamptz NOT NULL,
            decided_at timestamptz,
            decided_by text,
            decision_comment text,
            applied_version integer,
            PRIMARY KEY (org_id, request_id),
            FOREIGN KEY (org_id, node_id) REFERENCES org_nodes,
            CHECK ((status = 'open') = (decided_at IS NULL)),
            CHECK ((decided_at IS NULL) = (decided_by IS NULL)),
            CHECK ((status = 'applied') = (applied_version IS NOT NULL)),
            CONSTRAINT config_change_requests_four_eyes CHECK (status <> 'applied' OR decided_by <> created_by)
        )
        """
    )
    op.execute("CREATE INDEX config_change_requests_node ON config_change_requests (org_id, node_id, request_id)")
    op.execute("CREATE INDEX config_change_requests_state ON config_change_requests (org_id, status, request_id)")
    isolate_tenants("config_change_requests", team_column="node_id")
    grant("config_change_requests", _ROLE, ("SELECT", "INSERT"))
    # What was asked for never changes; only what it is based on, and how it ends.
    deciding = "base_version, status, decided_at, decided_by, decision_comment, applied_version"
    op.execute(f"GRANT UPDATE ({deciding}) ON config_change_requests TO {_ROLE}")
    op.execute(
        """
        CREATE TABLE config_change_request_comments (
            org_id text NOT NULL,
            comment_id text NOT NULL,
            request_id text NOT NULL,
            node_id text NOT NULL,
            text text NOT NULL,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            PRIMARY KEY (org_id, comment_id),
            FOREIGN KEY (org_id, request_id) REFERENCES config_change_requests
        )
        """
    )
    op.execute("CREATE INDEX config_change_request_comments_of ON config_change_request_comments (org_id, request_id)")
    isolate_tenants("config_change_request_comments", team_column="node_id")
    grant("config_change_request_comments", _ROLE, ("SELECT", "INSERT"))
