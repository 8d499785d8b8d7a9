"""first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RARE_STATES = sa.text(
    "state IN ('deferred', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown')"
)


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("tls", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("bulk_id", "seq", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "batch",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("bulk_id", "number"),
    )
    op.create_table(
        "content",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "counter",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bulk_id", "state", "shard"),
    )
    op.create_table(
        "lane",
        sa.Column("relay", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("cool_until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("relay", "name"),
    )
    op.create_table(
        "message",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("variables", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deferrals", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("possible_duplicate", sa.Boolean(), nullable=False),
        sa.Column("last_stage", sa.String(), nullable=True),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_enhanced", sa.String(), nullable=True),
        sa.Column("last_text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("bulk_id", "seq"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index("message_once", ["bulk_id", sa.text("lower(address)")], unique=True)
        batch_op.create_index("message_by_lane", ["bulk_id", "lane", "seq"], unique=False)
        batch_op.create_index(
            "message_by_rare_state",
            ["bulk_id", "state", "seq"],
            unique=False,
            sqlite_where=RARE_STATES,
            postgresql_where=RARE_STATES,
        )

    op.create_table(
        "bulk_send",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("content_id", sa.String(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=True),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
        sa.Column("next_seq", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["content_id"],
            ["content.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("bulk_send", schema=None) as batch_op:
        batch_op.create_index("bulk_send_by_age", ["created_at", "id"], unique=False)
        batch_op.create_index("bulk_send_by_state", ["state", "accepted_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("bulk_send", schema=None) as batch_op:
        batch_op.drop_index("bulk_send_by_state")
        batch_op.drop_index("bulk_send_by_age")

    op.drop_table("bulk_send")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index("message_by_rare_state", sqlite_where=RARE_STATES, postgresql_where=RARE_STATES)
        batch_op.drop_index("message_by_lane")

    op.drop_table("message")
    op.drop_table("lane")
    op.drop_table("counter")
    op.drop_table("content")
    op.drop_table("batch")
    op.drop_table("attempt")
