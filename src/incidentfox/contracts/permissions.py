"""The one list of permissions. Routes declare them, tokens carry them as scopes, services are granted them."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a caller may do. The value is the scope string in tokens and in the API."""

    PUBLIC = "public"
    """Needs no credential: health, readiness, metrics, the sign-in exchange, and webhooks (which carry a signature)."""

    ORGS_CREATE = "orgs:create"
    NODES_READ = "nodes:read"
    NODES_WRITE = "nodes:write"
    CONFIG_READ = "config:read"
    CONFIG_WRITE = "config:write"
    CONFIG_APPROVE = "config:approve"
    SECRETS_WRITE = "secrets:write"
    SECRETS_RESOLVE = "secrets:resolve"
    ROUTING_LOOKUP = "routing:lookup"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    TOKENS_INTROSPECT = "tokens:introspect"
    AUDIT_READ = "audit:read"
    AUDIT_WRITE = "audit:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    RUNS_EXECUTE = "runs:execute"
    RUNS_CANCEL = "runs:cancel"
    BUDGETS_SPEND = "budgets:spend"
    RECORDINGS_WRITE = "recordings:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    INCIDENTS_READ = "incidents:read"
    SELF = "self"
    """Any authenticated caller, about itself: who am I, sign me in, sign me out."""


TEAM_TOKEN_PERMISSIONS: frozenset[Permission] = frozenset(
    {
        Permission.NODES_READ,
        Permission.CONFIG_READ,
        Permission.CONFIG_WRITE,
        Permission.SECRETS_WRITE,
        Permission.ROUTING_LOOKUP,
        Permission.TOKENS_READ,
        Permission.AUDIT_READ,
        Permission.RUNS_READ,
        Permission.RUNS_CANCEL,
        Permission.RECORDINGS_WRITE,
        Permission.INCIDENTS_READ,
        Permission.SELF,
    }
)
"""The most that a team token may carry; it is bound to its team."""

ORG_ADMIN_TOKEN_PERMISSIONS: frozenset[Permission] = TEAM_TOKEN_PERMISSIONS | {
    Permission.NODES_WRITE,
    Permission.CONFIG_APPROVE,
    Permission.TOKENS_WRITE,
    Permission.WEBHOOKS_READ,
    Permission.WEBHOOKS_WRITE,
}
"""The most that an organisation's admin token may carry; it reaches every node of its organisation."""


class Role(StrEnum):
    """A named set of permissions. It holds at the node that a token is bound to and at everything below it."""

    ORG_ADMIN = "org_admin"
    TEAM_ADMIN = "team_admin"
    EDITOR = "editor"
    APPROVER = "approver"
    AUDITOR = "auditor"
    VIEWER = "viewer"


_VIEWER = frozenset(
    {
        Permission.NODES_READ,
        Permission.CONFIG_READ,
        Permission.ROUTING_LOOKUP,
        Permission.RUNS_READ,
        Permission.INCIDENTS_READ,
        Permission.SELF,
    }
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ORG_ADMIN: ORG_ADMIN_TOKEN_PERMISSIONS,
    Role.TEAM_ADMIN: TEAM_TOKEN_PERMISSIONS | {Permission.CONFIG_APPROVE, Permission.TOKENS_WRITE},
    Role.EDITOR: _VIEWER
    | {Permission.CONFIG_WRITE, Permission.SECRETS_WRITE, Permission.RECORDINGS_WRITE, Permission.RUNS_CANCEL},
    Role.APPROVER: _VIEWER | {Permission.CONFIG_APPROVE},
    Role.AUDITOR: _VIEWER | {Permission.AUDIT_READ, Permission.TOKENS_READ},
    Role.VIEWER: _VIEWER,
}
"""What each role may do. A token keeps its role, not this list, so that a change of the list reaches every token."""

SERVICE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "orchestrator": frozenset(
        {
            Permission.ROUTING_LOOKUP,
            Permission.AUDIT_WRITE,
            Permission.RUNS_READ,
            Permission.RUNS_WRITE,
            Permission.RUNS_EXECUTE,
            Permission.CONFIG_READ,
            Permission.TOKENS_INTROSPECT,
        }
    ),
    "agent": frozenset(
        {
            Permission.CONFIG_READ,
            Permission.SECRETS_RESOLVE,
            Permission.RUNS_READ,
            Permission.RUNS_WRITE,
            Permission.BUDGETS_SPEND,
            Permission.AUDIT_WRITE,
            Permission.TOKENS_INTROSPECT,
        }
    ),
    "console": frozenset({Permission.TOKENS_INTROSPECT}),
    "platform": frozenset(Permission) - {Permission.PUBLIC, Permission.SECRETS_RESOLVE, Permission.BUDGETS_SPEND},
}
"""The most that each service identity may ask for, by the issuer of its token. `platform` is the operator's own key."""
