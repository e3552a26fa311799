"""Where files come from: the workflow, weight files and prompts of the jobs that made them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; files that are there already are found by their names alone."""
    op.create_table(
        "origins",
        sa.Column("job", sa.String(200), primary_key=True),
        sa.Column("workflow", sa.String(300), nullable=False),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_index("origins_by_workflow", "origins", ["workflow", "job"])
    op.create_table(
        "origin_models",
        sa.Column("job", sa.String(200), primary_key=True),
        sa.Column("model", sa.String(300), primary_key=True),
    )
    op.create_index("origins_by_model", "origin_models", ["model", "job"])
