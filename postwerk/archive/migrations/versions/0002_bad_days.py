"""lanes with pace and memory, suppression list, notices, reasons"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Added to tables that may hold rows: what is not null brings its value along.
_LANE = (
    sa.Column("origin", sa.String(), nullable=False, server_default=""),
    sa.Column("slow_interval", sa.BigInteger(), nullable=True),
    sa.Column("probe_until", sa.BigInteger(), nullable=True),
    sa.Column("last_refusal", sa.String(), nullable=False, server_default=""),
    sa.Column("last_refused_at", sa.BigInteger(), nullable=True),
    sa.Column("rate", sa.String(), nullable=False, server_default=""),
    sa.Column("connections", sa.Integer(), nullable=True),
    sa.Column("messages_per_connection", sa.Integer(), nullable=True),
    sa.Column("set_by", sa.String(), nullable=False, server_default=""),
    sa.Column("set_reason", sa.String(), nullable=False, server_default=""),
    sa.Column("set_at", sa.BigInteger(), nullable=True),
    sa.Column("set_until", sa.BigInteger(), nullable=True),
)
_BULK_SEND = (
    sa.Column("config_errors", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("watched_from", sa.Text(), nullable=True),
    sa.Column("notice_of", sa.String(), nullable=False, server_default=""),
)


def upgrade() -> None:
    for column in _LANE:
        op.add_column("lane", column)
    for column in _BULK_SEND:
        op.add_column("bulk_send", column)
    op.add_column("message", sa.Column("last_reason", sa.String(), nullable=True))
    op.create_table(
        "pace",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("tat", sa.BigInteger(), nullable=False),
        sa.Column("queue_tat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "lane_use",
        sa.Column("relay", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=False),
        sa.Column("attempts_per_minute", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("relay", "name", "worker"),
    )
    op.create_table(
        "suppression",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("bulk_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_index("suppression_by_age", "suppression", ["created_at", "address"])
    op.create_table(
        "notice",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("notice_bulk_id", sa.String(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bulk_id", "seq", "kind"),
    )


def downgrade() -> None:
    for table in ("notice", "suppression", "lane_use", "pace"):
        op.drop_table(table)
    op.drop_column("message", "last_reason")
    for column in _BULK_SEND:
        op.drop_column("bulk_send", column.name)
    for column in _LANE:
        op.drop_column("lane", column.name)
