"""Alembic migrations of the job store; run at start."""
