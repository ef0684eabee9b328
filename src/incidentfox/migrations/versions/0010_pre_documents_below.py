"""A transaction that is bound to a unit reads the documents and the history of the nodes below it.

Whoever writes a unit's document must be told what that does to the teams below, and must not be able to break them: to
judge them, the service has to see what they hold. It reads them; to write below, it narrows to the node itself.
"""

from __future__ import annotations

from incidentfox.migrations.policies import show_subtree

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds the policies beside those that are there."""
    show_subtree("node_configurations", "node_id")
    show_subtree("config_node_versions", "node_id")
