"""What a migration does beside the writers of a large table, outside of a transaction: what it did is kept when it
fails, so each of it can be done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import text


@contextmanager
def without_transaction() -> Iterator[None]:
    """Each statement of the block commits by itself and may take as long as the table is large.

    An index that is built concurrently waits for every transaction that is older. It keeps nobody waiting meanwhile, so
    it may wait for minutes; one that is open for longer is stuck.
    """
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        kept = {name: connection.scalar(text(f"SHOW {name}")) for name in ("lock_timeout", "statement_timeout")}
        op.execute("SET lock_timeout = '10min'")
        op.execute("SET statement_timeout = 0")
        try:
            yield
        finally:
            for name, value in kept.items():
                op.execute(f"SET {name} = '{value}'")


def create_index(name: str, on: str) -> None:
    """Builds an index while the table is written to, unless it is there. To be called inside `without_transaction`.

    `on` is what stands behind ON. What an attempt that failed left behind is not valid, and is built anew.
    """
    broken = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
    if op.get_bind().scalar(text(broken), {"name": name}):
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}")
