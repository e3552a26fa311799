"""The tables of the job store. Portable types only: the same code runs on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["ASSETS", "EVENTS", "JOBS", "METADATA", "ORIGINS", "ORIGIN_MODELS", "STATE"]

METADATA = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows itself only for INTEGER keys

JOBS = sa.Table(
    "jobs",
    METADATA,
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
    sa.Index("jobs_by_place", "state", sa.text("priority DESC"), "number", "sequence"),
    sa.Index("jobs_by_end", "state", "finished_s"),
    sqlite_autoincrement=True,
)
"""`sequence` is never used twice. `result` holds outputs, nodes, ran, cached, reasons and stats as one JSON text."""

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("job", sa.String(200), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("time_s", sa.Double, nullable=False),
)

ASSETS = sa.Table(
    "assets",
    METADATA,
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
    sa.Index("assets_by_prefix", "folder", "subfolder", "prefix", "counter"),
    sa.Index("assets_by_place", "is_placed"),
    sa.Index("assets_by_age", "created_s"),
)

ORIGINS = sa.Table(
    "origins",
    METADATA,
    sa.Column("job", sa.String(200), primary_key=True),
    sa.Column("workflow", sa.String(300), nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Index("origins_by_workflow", "workflow", "job"),
)
"""Where files come from: of each job that made some, for as long as they are listed. `words`: its prompts, folded."""

ORIGIN_MODELS = sa.Table(
    "origin_models",
    METADATA,
    sa.Column("job", sa.String(200), primary_key=True),
    sa.Column("model", sa.String(300), primary_key=True),
    sa.Index("origins_by_model", "model", "job"),
)

STATE = sa.Table(
    "state",
    METADATA,
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""Small durable facts: paused, clean_stop."""
