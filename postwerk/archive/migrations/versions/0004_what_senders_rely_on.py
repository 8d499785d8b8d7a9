"""keys, quotas, repeated calls, templates, files, schedules, coalescing, mail that comes back"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Added to tables that may hold rows: what is not null brings its value along.
_ADDED: dict[str, tuple[sa.Column[Any], ...]] = {
    "bulk_send": (
        sa.Column("too_big", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False, server_default="bulk"),
        sa.Column("owner", sa.String(), nullable=False, server_default=""),
        sa.Column("late_bounces", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("complaints", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("begins_at", sa.BigInteger(), nullable=True),
    ),
    "lane": (sa.Column("size_limit", sa.BigInteger(), nullable=True),),
    "message": (
        sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("complained_at", sa.BigInteger(), nullable=True),
    ),
    "suppression": (
        sa.Column("scope", sa.String(), nullable=False, server_default="all"),
        sa.Column("unsubscribed_at", sa.BigInteger(), nullable=True),
    ),
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, column)
    op.execute("UPDATE bulk_send SET kind = 'notice' WHERE notice_of <> ''")
    op.execute(
        "UPDATE suppression SET scope = 'bulk', unsubscribed_at = created_at WHERE reason = 'unsubscribe'"
    )
    op.create_index("bulk_send_by_kind", "bulk_send", ["kind", "created_at", "id"])
    op.create_index("bulk_send_by_owner", "bulk_send", ["owner", "id"])
    _create_tables_of_callers()
    _create_tables_of_mail()


def _create_tables_of_callers() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=True),
        sa.Column("quota", sa.String(), nullable=False),
        sa.Column("rotates", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_index("api_key_by_owner", "api_key", ["owner", "id"])
    op.create_table(
        "quota_use",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "starts_at"),
    )
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("held_since", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("keep_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    op.create_index("idempotency_by_end", "idempotency", ["keep_until"])
    op.create_table(
        "schedule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_bulk_id", sa.String(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_tables_of_mail() -> None:
    op.create_table(
        "template",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version"),
    )
    op.create_table(
        "blob",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "coalesced",
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("window", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("handed", sa.Boolean(), nullable=False),
        sa.Column("folded_into", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("bulk_id"),
    )
    op.create_index("coalesced_by_key", "coalesced", ["owner", "key", "arrived_at"])
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "coalesced_waiting", "coalesced", ["arrived_at"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table(
        "inbound",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("mail_from", sa.String(), nullable=False),
        sa.Column("rcpt_to", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("bulk_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("processed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("inbound_by_state", "inbound", ["state", "id"])
    op.create_index("inbound_by_turn", "inbound", ["state", "due_at"])
    op.create_index("inbound_once", "inbound", ["digest"], unique=True)
    op.create_table(
        "token_secret",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
