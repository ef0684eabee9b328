"""One coordinated migration history for the shared Postgres (decision 005); ships in the wheel.

Called by `incidentfox migrate` and by `local`; services never migrate. Migrations are named `NNNN_pre_…` (run before
the new code starts) or `NNNN_post_…` (after the old code is gone), and run under an advisory lock with lock and
statement timeouts, so that a migration never queues the whole product behind itself. What else only the owner of the
tables may do is here as well: dropping the oldest part of an audit.
"""

from incidentfox.migrations.audit_retention import Pruned, prune_audit
from incidentfox.migrations.run import SERVICE_ROLES, head_revision, migrate

__all__ = ["SERVICE_ROLES", "Pruned", "head_revision", "migrate", "prune_audit"]
