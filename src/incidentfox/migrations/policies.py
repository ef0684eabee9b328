"""Row-level security, written once: what each migration that makes a tenant table calls.

`FORCE` binds the table's owner as well. A policy on an unset setting compares with NULL, which is not true: no
tenant, no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

_ORG = "org_id = current_setting('incidentfox.org_id', true)"
_TEAM = (
    "(current_setting('incidentfox.team_node_id', true) = '*'"
    " OR {column} = current_setting('incidentfox.team_node_id', true))"
)


def isolate_tenants(
    table: str, *, team_column: str | None = None, shared_rows: bool = False, proof: tuple[str, str] | None = None
) -> None:
    """Forces row-level security on `table` by organisation, and by team where it has a `team_column`.

    `shared_rows` lets a team also see rows whose team is NULL (an organisation's own). `proof` is (column, setting):
    a row whose column equals that setting may be *read* before the tenant is known, since the caller has shown that it
    knows an unguessable value.
    """
    rule = _ORG
    if team_column is not None:
        team = _TEAM.format(column=team_column)
        rule += f" AND ({team} OR {team_column} IS NULL)" if shared_rows else f" AND {team}"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({rule}) WITH CHECK ({rule})")
    if proof is not None:
        column, setting = proof
        op.execute(f"CREATE POLICY proof ON {table} FOR SELECT USING ({column} = current_setting('{setting}', true))")


def show_subtree(table: str, column: str) -> None:
    """Lets a transaction that is bound to a unit also *read* the rows of the nodes below it. For the Config Service's
    tables alone, whose role may see the tree.
    """
    op.execute(
        f"CREATE POLICY below ON {table} FOR SELECT USING ({_ORG} AND EXISTS (SELECT FROM config_node_ancestry a"
        f" WHERE a.org_id = {table}.org_id AND a.node_id = {table}.{column}"
        " AND a.ancestor_id = current_setting('incidentfox.team_node_id', true)))"
    )


def grant(table: str, role: str, privileges: Sequence[str]) -> None:
    """Gives a service's role rights on one of its own tables. Nobody else has any."""
    op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
    op.execute(f"GRANT {', '.join(privileges)} ON {table} TO {role}")
