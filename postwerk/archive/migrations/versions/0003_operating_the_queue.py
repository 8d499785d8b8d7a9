"""held messages, rounds, operations, suspensions, audit trail"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEFORE = sa.text(
    "state IN ('deferred', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown')"
)
_AFTER = sa.text(
    "state IN ('deferred', 'held', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown')"
)
_WAITING = sa.text("state IN ('deferred', 'held')")
_BY_REPLY = {"message_by_code": "last_code", "message_by_reason": "last_reason"}
# Added to tables that may hold rows: what is not null brings its value along.
_ADDED = {
    "bulk_send": (
        sa.Column("rounds", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("starting_again", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("carried", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("changes", sa.Integer(), nullable=False, server_default="0"),
    ),
    "message": (
        sa.Column("round", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("extra", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("time_left", sa.BigInteger(), nullable=True),
        sa.Column("next_state", sa.String(), nullable=True),
        sa.Column("operation", sa.String(), nullable=True),
    ),
    "batch": (sa.Column("round", sa.Integer(), nullable=False, server_default="0"),),
}


def _index_rare_states(before: sa.TextClause, after: sa.TextClause) -> None:
    name, columns = "message_by_rare_state", ["bulk_id", "state", "seq"]
    op.drop_index(name, "message", sqlite_where=before, postgresql_where=before)
    op.create_index(name, "message", columns, sqlite_where=after, postgresql_where=after)


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, column)
    _index_rare_states(_BEFORE, _AFTER)
    for name, by in _BY_REPLY.items():
        op.create_index(
            name, "message", ["bulk_id", by, "seq"], sqlite_where=_WAITING, postgresql_where=_WAITING
        )
    op.create_table(
        "operation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("matched", sa.BigInteger(), nullable=True),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("operation_by_state", "operation", ["state", "id"])
    op.create_table(
        "operation_batch",
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "bulk_id", "number"),
    )
    op.create_table(
        "suspension",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("suspension_by_end", "suspension", ["until"])
    op.create_table(
        "audit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.Column("operation", sa.String(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_action", "audit", ["action", "id"])
    op.create_index("audit_by_who", "audit", ["by", "id"])


def downgrade() -> None:
    """Held messages go back to where they came from; started again, their old bounces stay forgotten."""
    for table in ("audit", "suspension", "operation_batch", "operation"):
        op.drop_table(table)
    op.execute("UPDATE message SET state = 'deferred' WHERE state = 'held'")
    op.execute("""
        INSERT INTO counter (bulk_id, state, shard, n)
        SELECT bulk_id, 'deferred', shard, n FROM counter WHERE state = 'held'
        ON CONFLICT (bulk_id, state, shard) DO UPDATE SET n = counter.n + excluded.n
    """)
    op.execute("DELETE FROM counter WHERE state = 'held'")
    for name in _BY_REPLY:
        op.drop_index(name, "message")
    _index_rare_states(_AFTER, _BEFORE)
    for table, columns in _ADDED.items():
        for column in columns:
            op.drop_column(table, column.name)
