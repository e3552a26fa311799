"""Jobs, their events and assets, and small durable facts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the first tables."""
    _create_jobs()
    op.create_table(
        "events",
        sa.Column("job", sa.String(200), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("time_s", sa.Double, nullable=False),
    )
    _create_assets()
    op.create_table(
        "state",
        sa.Column("name", sa.String(60), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", _BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(200), nullable=False, unique=True),
        sa.Column("counter", _BIG, nullable=False),
        sa.Column("number", sa.Double, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("client_id", sa.String(200)),
        sa.Column("idempotency_key", sa.String(300), unique=True),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("targets", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("extra", sa.Text, nullable=False),
        sa.Column("alone", sa.Boolean, nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("server_losses", sa.Integer, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("worker", sa.String(100)),
        sa.Column("last_event", _BIG, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("started_s", sa.Double),
        sa.Column("finished_s", sa.Double),
        sa.Column("error", sa.Text),
        sa.Column("crashes", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_place", "jobs", ["state", sa.text("priority DESC"), "number", "sequence"])
    op.create_index("jobs_by_end", "jobs", ["state", "finished_s"])


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("job", sa.String(200), nullable=False),
        sa.Column("node", sa.String(300), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("staged", sa.String(300), nullable=False),
        sa.Column("digest", sa.String(100), nullable=False),
        sa.Column("folder", sa.String(16), nullable=False),
        sa.Column("subfolder", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("counter", _BIG, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("is_placed", sa.Boolean, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.UniqueConstraint("job", "node", "ordinal", name="one_asset_per_ordinal"),
    )
    op.create_index("assets_by_prefix", "assets", ["folder", "subfolder", "prefix", "counter"])
    op.create_index("assets_by_place", "assets", ["is_placed"])
    op.create_index("assets_by_age", "assets", ["created_s"])
